// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	goodbye = 2 * time.Second // before the end of a drain: what is still open is told then
	glance  = 20 * time.Millisecond
)

type connectionKey struct{}

// connections are those of users: open, and not used for the app's own pages (a probe, a drain). Of WebSockets it knows how to end them.
type connections struct {
	lock    sync.Mutex
	open    map[net.Conn]bool
	sockets map[net.Conn]*socket
}

func newConnections() *connections {
	return &connections{open: map[net.Conn]bool{}, sockets: map[net.Conn]*socket{}}
}

// watch has the server report its connections.
func (connections *connections) watch(server *http.Server) {
	server.ConnContext = func(ctx context.Context, connection net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connection)
	}
	server.ConnState = func(connection net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			connections.lock.Lock()
			connections.open[connection] = true
			connections.lock.Unlock()
		case http.StateClosed:
			connections.forget(connection)
		}
	}
}

func (connections *connections) forget(connection net.Conn) {
	connections.lock.Lock()
	delete(connections.open, connection)
	delete(connections.sockets, connection)
	connections.lock.Unlock()
}

// own wraps a page of the app's own: who asks for it is no user.
func (connections *connections) own(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		connections.forget(r.Context().Value(connectionKey{}).(net.Conn))
		handler(w, r)
	}
}

func (connections *connections) count() int {
	connections.lock.Lock()
	defer connections.lock.Unlock()
	return len(connections.open)
}

// gone waits until count gives 0, for so long at most.
func gone(count func() int, most time.Duration) {
	for deadline := time.Now().Add(most); count() > 0 && time.Now().Before(deadline); {
		time.Sleep(glance)
	}
}

// joined is called for each connection that became a WebSocket, which then is ended by closeSockets.
func (connections *connections) joined(connection net.Conn, stream *bufio.ReadWriter) *socket {
	joined := &socket{stream: stream}
	connections.lock.Lock()
	connections.sockets[connection] = joined
	connections.lock.Unlock()
	return joined
}

// closeSockets sends every WebSocket a close frame that says that the server goes away, and gives their users a second to answer.
func (connections *connections) closeSockets() {
	connections.lock.Lock()
	for _, each := range connections.sockets {
		each.leave()
	}
	connections.lock.Unlock()
	gone(connections.countSockets, time.Second)
}

func (connections *connections) countSockets() int {
	connections.lock.Lock()
	defer connections.lock.Unlock()
	return len(connections.sockets)
}

// drainPage begins to drain and answers how many connections are left. Drain-Seconds-Left says how long the Pod will be there: what does not
// end by itself, WebSockets, is told in time. With ?wait=8s, as a preStop hook asks, the answer comes when all are gone, or after that time.
func (app *app) drainPage(w http.ResponseWriter, r *http.Request) {
	app.drain()
	if wait, err := time.ParseDuration(r.URL.Query().Get("wait")); err == nil {
		gone(app.connections.count, wait-goodbye)
		app.connections.closeSockets()
		gone(app.connections.count, time.Second)
	}
	if left, err := strconv.Atoi(r.Header.Get("Drain-Seconds-Left")); err == nil && time.Duration(left)*time.Second <= goodbye {
		app.connections.closeSockets()
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "{\"connections\": %d}\n", app.connections.count())
}
