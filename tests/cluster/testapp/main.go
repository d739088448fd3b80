// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command testapp is the service that the tests release, and, called as "pause", the process that holds a Pod's sandbox.
//
// It serves on PORT (8080): / (anything not named here) answers with the version, /health, /ready, /metrics, /echo gives back what
// was posted, /ws is a WebSocket echo, /drain begins to drain and counts what is left, /admin (POST) turns the knobs of settings.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if filepath.Base(os.Args[0]) == "pause" {
		pause()
		return
	}
	settings, err := settingsFrom(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	if settings.Crash == "start" {
		log.Fatal("crash at start, as told by CRASH")
	}
	time.Sleep(settings.StartDelay)
	if err := serve(newApp(settings, env("APP_VERSION", "none"))); err != nil {
		log.Fatal(err)
	}
}

// serve answers until a signal to end, and ends as the settings of that moment say.
func serve(app *app) error {
	server := &http.Server{Addr: ":" + env("PORT", "8080"), Handler: app.routes()}
	app.connections.watch(server)
	go app.grow()
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	fmt.Printf("version %s serves on %s\n", app.version, server.Addr)
	select {
	case err := <-failed:
		return err
	case <-ended:
	}
	settings := app.settings()
	if settings.OnTerm == "exit" {
		return errors.New("ended at once, as told by ON_TERM")
	}
	app.drain()
	time.Sleep(settings.DrainDelay) // the Pod's address leaves the Service meanwhile
	app.connections.closeSockets()
	return server.Shutdown(context.Background())
}

// pause waits for a signal, and buries the children that it is given.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for got := range signals {
		if got != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
