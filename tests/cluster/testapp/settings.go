// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Settings are the knobs. Each has a name in the environment (ERROR_SHARE) and the same name, in small letters, at /admin (?error_share=0.1).
type Settings struct {
	ErrorShare float64       // ERROR_SHARE: the share of requests, 0 to 1, that are answered with 500; exact, evenly spread
	Latency    time.Duration // LATENCY: how long an answer takes
	Growth     int           // GROWTH: bytes of memory more with every second
	Ready      bool          // READY: whether /ready says so
	Healthy    bool          // HEALTHY: whether /health says so
	OnTerm     string        // ON_TERM: drain, or exit to leave at once and drop what is under way
	DrainDelay time.Duration // DRAIN_DELAY: how long it goes on answering after SIGTERM
	StartDelay time.Duration // START_DELAY: how long before it listens
	Crash      string        // CRASH: start, to end before it listens; now, at /admin, to end at once
}

// settingsFrom reads the settings that "look" knows, by their names in capitals.
func settingsFrom(look func(string) string) (Settings, error) {
	settings := Settings{Ready: true, Healthy: true, OnTerm: "drain"}
	for _, name := range []string{"ERROR_SHARE", "LATENCY", "GROWTH", "READY", "HEALTHY", "ON_TERM", "DRAIN_DELAY", "START_DELAY", "CRASH"} {
		if value := look(name); value != "" {
			if err := settings.set(name, value); err != nil {
				return settings, err
			}
		}
	}
	return settings, nil
}

// set turns one knob.
func (settings *Settings) set(name, value string) (err error) {
	switch strings.ToUpper(name) {
	case "ERROR_SHARE":
		settings.ErrorShare, err = strconv.ParseFloat(value, 64)
	case "LATENCY":
		settings.Latency, err = time.ParseDuration(value)
	case "GROWTH":
		settings.Growth, err = strconv.Atoi(value)
	case "READY":
		settings.Ready, err = strconv.ParseBool(value)
	case "HEALTHY":
		settings.Healthy, err = strconv.ParseBool(value)
	case "ON_TERM":
		settings.OnTerm = value
	case "DRAIN_DELAY":
		settings.DrainDelay, err = time.ParseDuration(value)
	case "START_DELAY":
		settings.StartDelay, err = time.ParseDuration(value)
	case "CRASH":
		settings.Crash = value
	default:
		return fmt.Errorf("no setting %s", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
