// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// app is what a request needs.
type app struct {
	version string
	host    string
	metrics *counters

	connections *connections

	lock     sync.Mutex
	knobs    Settings
	draining bool
	debt     float64 // failures owed: one whole is paid by the next request
	ballast  [][]byte
}

func newApp(settings Settings, version string) *app {
	host, _ := os.Hostname()
	return &app{version: version, host: host, metrics: newCounters(version), connections: newConnections(), knobs: settings}
}

func (app *app) settings() Settings {
	app.lock.Lock()
	defer app.lock.Unlock()
	return app.knobs
}

// routes: what is answered where. Only what a user of the service asks for is counted and fails.
func (app *app) routes() http.Handler {
	mux, own := http.NewServeMux(), app.connections.own
	mux.Handle("/", app.service(app.hello))
	mux.Handle("/echo", app.service(echo))
	mux.HandleFunc("/ws", app.webSocket)
	mux.HandleFunc("/health", own(func(w http.ResponseWriter, _ *http.Request) { app.say(w, app.settings().Healthy) }))
	mux.HandleFunc("/ready", own(func(w http.ResponseWriter, _ *http.Request) { app.say(w, app.settings().Ready && !app.isDraining()) }))
	mux.HandleFunc("/metrics", own(func(w http.ResponseWriter, _ *http.Request) { app.metrics.write(w) }))
	mux.HandleFunc("/drain", own(app.drainPage)) // POST, or GET: a preStop hook cannot post
	mux.HandleFunc("POST /admin", own(app.admin))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-App-Version", app.version)
		app.closing(w)
		mux.ServeHTTP(w, r)
	})
}

// service wraps a handler in what the knobs ask for: it takes its time, fails its share, and is counted.
func (app *app) service(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		wait := app.settings().Latency
		if seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64); err == nil {
			wait += time.Duration(seconds * float64(time.Second))
		}
		time.Sleep(wait)
		app.closing(w) // it may have begun to drain meanwhile
		code := http.StatusOK
		if app.fails() {
			code = http.StatusInternalServerError
			http.Error(w, "failed, as told by ERROR_SHARE", code)
		} else {
			handler(w, r)
		}
		app.metrics.count(code, time.Since(began))
	})
}

// closing has the answer say that it is the last one of its connection, while the app drains.
func (app *app) closing(w http.ResponseWriter) {
	if app.isDraining() {
		w.Header().Set("Connection", "close")
	}
}

func (app *app) fails() bool {
	app.lock.Lock()
	defer app.lock.Unlock()
	app.debt += app.knobs.ErrorShare
	if app.debt < 1-1e-9 {
		return false
	}
	app.debt--
	return true
}

func (app *app) hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"version": app.version, "pod": app.host, "path": r.URL.Path})
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(body)
}

func (app *app) say(w http.ResponseWriter, yes bool) {
	if !yes {
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// drain: not ready any more, and every answer ends its connection.
func (app *app) drain() {
	app.lock.Lock()
	app.draining = true
	app.lock.Unlock()
}

func (app *app) isDraining() bool {
	app.lock.Lock()
	defer app.lock.Unlock()
	return app.draining
}

// admin sets every knob named in the query or the form, all or none.
func (app *app) admin(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	app.lock.Lock()
	changed := app.knobs
	for name, values := range r.Form {
		if err := changed.set(name, values[0]); err != nil {
			app.lock.Unlock()
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	app.knobs = changed
	app.lock.Unlock()
	if changed.Crash == "now" {
		os.Exit(1)
	}
	fmt.Fprintln(w, "ok")
}

// grow takes the memory that GROWTH asks for, and touches it so that it counts.
func (app *app) grow() {
	for range time.Tick(time.Second) {
		more := make([]byte, app.settings().Growth)
		for i := 0; i < len(more); i += 4096 {
			more[i] = 1
		}
		app.ballast = append(app.ballast, more)
	}
}
