// Package handle is the table behind the opaque numbers that cross the C ABI.
//
// A handle is a slot's index in the low 32 bits and the slot's generation in the high 32. Releasing a slot advances its
// generation, so a number that was released, or never given out, finds nothing.
package handle

import (
	"errors"
	"fmt"
	"sync"
)

// ErrClosed means that a handle is not in the table.
var ErrClosed = errors.New("handle is closed or was never valid")

// WrongTypeError means that a live handle has another type.
type WrongTypeError struct{ Want, Got string }

func (e *WrongTypeError) Error() string {
	return fmt.Sprintf("handle is of the wrong type: want %s, got %s", e.Want, e.Got)
}

type slot struct {
	generation uint32
	object     any
}

// Table maps handles to objects. Its zero value is ready for use.
type Table struct {
	mu    sync.Mutex
	slots []slot
	free  []uint32
	live  int
}

// Put stores object and returns its handle, which is never 0.
func (t *Table) Put(object any) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var index uint32
	if n := len(t.free); n > 0 {
		index, t.free = t.free[n-1], t.free[:n-1]
	} else {
		index = uint32(len(t.slots))
		t.slots = append(t.slots, slot{generation: 1})
	}
	t.slots[index].object = object
	t.live++
	return uint64(t.slots[index].generation)<<32 | uint64(index)
}

func (t *Table) find(h uint64) *slot {
	index, generation := uint32(h), uint32(h>>32)
	if uint64(index) >= uint64(len(t.slots)) {
		return nil
	}
	s := &t.slots[index]
	if s.generation != generation || s.object == nil {
		return nil
	}
	return s
}

// Take removes a handle and returns its object.
func (t *Table) Take(h uint64) (any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(h)
	if s == nil {
		return nil, ErrClosed
	}
	object := s.object
	s.object = nil
	s.generation++
	// A slot whose generation has wrapped around is retired: a handle must never be 0, and a released number must never
	// become valid again.
	if s.generation != 0 {
		t.free = append(t.free, uint32(h))
	}
	t.live--
	return object, nil
}

// Len returns the number of live handles.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live
}

// All returns every live object.
func (t *Table) All() []any {
	t.mu.Lock()
	defer t.mu.Unlock()
	objects := make([]any, 0, t.live)
	for i := range t.slots {
		if t.slots[i].object != nil {
			objects = append(objects, t.slots[i].object)
		}
	}
	return objects
}

// Get returns the object behind h if it is a T.
func Get[T any](t *Table, h uint64) (T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var zero T
	s := t.find(h)
	if s == nil {
		return zero, ErrClosed
	}
	object, ok := s.object.(T)
	if !ok {
		return zero, &WrongTypeError{Want: fmt.Sprintf("%T", zero), Got: fmt.Sprintf("%T", s.object)}
	}
	return object, nil
}
