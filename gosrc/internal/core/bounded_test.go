package core

import (
	"testing"
	"time"
)

// deliver sends a value to a channel.
func deliver[T any](t *testing.T, to chan<- T, value T) {
	t.Helper()
	select {
	case to <- value:
	case <-time.After(bound):
		t.Fatal("nobody took it")
	}
}

// finish waits until a function that blocks returns.
func finish(t *testing.T, wait func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	within(t, done)
}

// until waits for a condition that nothing announces.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); !condition(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come true")
		}
	}
}
