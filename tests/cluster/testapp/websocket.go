// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"crypto/sha1" // what RFC 6455 asks for
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"sync"
)

const (
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
	final   = 0x80
	masked  = 0x80
	longest = 1 << 20 // bytes of one frame
)

var goingAway = []byte{0x03, 0xE9} // 1001

// socket is one WebSocket, written to by its own handler and by whoever ends them all.
type socket struct {
	lock   sync.Mutex
	stream *bufio.ReadWriter
	left   bool
}

// send writes one frame; nothing after a close frame.
func (socket *socket) send(first byte, body []byte) error {
	socket.lock.Lock()
	defer socket.lock.Unlock()
	if socket.left {
		return nil
	}
	socket.left = first&0xF == opClose
	if err := writeFrame(socket.stream, first, body); err != nil {
		return err
	}
	return socket.stream.Flush()
}

func (socket *socket) leave() {
	_ = socket.send(final|opClose, goingAway)
}

// webSocket echoes every frame until the client closes.
func (app *app) webSocket(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	hijacker, able := w.(http.Hijacker)
	if key == "" || !able {
		http.Error(w, "a WebSocket, please", http.StatusUpgradeRequired)
		return
	}
	connection, stream, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	defer app.connections.forget(connection)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, _ = stream.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-App-Version: " +
		w.Header().Get("X-App-Version") + "\r\nSec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
	if stream.Flush() != nil {
		return
	}
	for socket := app.connections.joined(connection, stream); ; {
		first, body, err := readFrame(stream)
		if err != nil {
			return
		}
		op := first & 0xF
		if op == opPing {
			first = final | opPong
		}
		if socket.send(first, body) != nil || op == opClose {
			return
		}
	}
}

// readFrame gives a frame's first byte and its body, without the mask.
func readFrame(from io.Reader) (first byte, body []byte, err error) {
	var head [8]byte
	if _, err = io.ReadFull(from, head[:2]); err != nil {
		return
	}
	first, size, hidden := head[0], uint64(head[1]&^masked), head[1]&masked != 0
	switch size {
	case 126:
		_, err = io.ReadFull(from, head[:2])
		size = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(from, head[:8])
		size = binary.BigEndian.Uint64(head[:8])
	}
	if err == nil && size > longest {
		err = io.ErrShortBuffer
	}
	var mask [4]byte
	if err == nil && hidden {
		_, err = io.ReadFull(from, mask[:])
	}
	if err != nil {
		return
	}
	body = make([]byte, size)
	_, err = io.ReadFull(from, body)
	for i := range body {
		body[i] ^= mask[i%4]
	}
	return
}

// writeFrame writes one frame, unmasked as a server's are.
func writeFrame(to io.Writer, first byte, body []byte) error {
	head := []byte{first}
	switch size := len(body); {
	case size < 126:
		head = append(head, byte(size))
	case size < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(size))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(size))
	}
	_, err := to.Write(append(head, body...))
	return err
}
