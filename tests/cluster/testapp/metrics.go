// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var bounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

// counters are the numbers that Prometheus scrapes.
type counters struct {
	version string

	lock    sync.Mutex
	codes   map[int]int
	buckets []int // by bounds, each its own answers only; the last holds what is slower
	seconds float64
}

func newCounters(version string) *counters {
	return &counters{version: version, codes: map[int]int{}, buckets: make([]int, len(bounds)+1)}
}

func (counters *counters) count(code int, took time.Duration) {
	counters.lock.Lock()
	defer counters.lock.Unlock()
	counters.codes[code]++
	counters.seconds += took.Seconds()
	at, _ := slices.BinarySearch(bounds, took.Seconds())
	counters.buckets[at]++
}

// write gives the exposition format.
func (counters *counters) write(to io.Writer) {
	counters.lock.Lock()
	defer counters.lock.Unlock()
	label := fmt.Sprintf("version=%q", counters.version)
	fmt.Fprintf(to, "# TYPE app_info gauge\napp_info{%s} 1\n# TYPE http_requests_total counter\n", label)
	for _, code := range sorted(counters.codes) {
		fmt.Fprintf(to, "http_requests_total{%s,code=\"%d\"} %d\n", label, code, counters.codes[code])
	}
	fmt.Fprint(to, "# TYPE http_request_duration_seconds histogram\n")
	total := 0
	for i, bound := range bounds {
		total += counters.buckets[i]
		fmt.Fprintf(to, "http_request_duration_seconds_bucket{%s,le=\"%g\"} %d\n", label, bound, total)
	}
	total += counters.buckets[len(bounds)]
	fmt.Fprintf(to, "http_request_duration_seconds_bucket{%s,le=\"+Inf\"} %d\n", label, total)
	fmt.Fprintf(to, "http_request_duration_seconds_sum{%s} %g\nhttp_request_duration_seconds_count{%s} %d\n", label, counters.seconds, label, total)
	fmt.Fprintf(to, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %d\n", resident())
}

func sorted(codes map[int]int) []int {
	found := []int{}
	for code := range codes {
		found = append(found, code)
	}
	slices.Sort(found)
	return found
}

// resident is this process's memory, in bytes.
func resident() int {
	text, _ := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(text)); len(fields) > 1 {
		pages, _ := strconv.Atoi(fields[1])
		return pages * os.Getpagesize()
	}
	return 0
}
