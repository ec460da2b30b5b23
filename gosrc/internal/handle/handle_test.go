package handle

import (
	"errors"
	"sync"
	"testing"
)

func TestGetReturnsWhatWasPut(t *testing.T) {
	var table Table
	h := table.Put("a")
	if h == 0 {
		t.Fatal("a handle must not be 0")
	}
	if got, err := Get[string](&table, h); err != nil || got != "a" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestStaleHandleNeverFindsTheSlotsNextObject(t *testing.T) {
	var table Table
	old := table.Put("a")
	if _, err := table.Take(old); err != nil {
		t.Fatal(err)
	}
	fresh := table.Put("b")
	if uint32(old) != uint32(fresh) {
		t.Fatalf("the slot was not reused: %x, %x", old, fresh)
	}
	if _, err := Get[string](&table, old); !errors.Is(err, ErrClosed) {
		t.Fatalf("want ErrClosed, got %v", err)
	}
	if _, err := table.Take(old); !errors.Is(err, ErrClosed) {
		t.Fatalf("want ErrClosed, got %v", err)
	}
}

func TestForgedHandlesAreClosed(t *testing.T) {
	var table Table
	h := table.Put("a")
	for _, forged := range []uint64{0, 1, h + 1, h + 1<<32, ^uint64(0)} {
		if _, err := Get[string](&table, forged); !errors.Is(err, ErrClosed) {
			t.Errorf("%x: want ErrClosed, got %v", forged, err)
		}
	}
}

func TestWrongTypeIsNamed(t *testing.T) {
	var table Table
	h := table.Put("a")
	var wrong *WrongTypeError
	if _, err := Get[int](&table, h); !errors.As(err, &wrong) || wrong.Want != "int" || wrong.Got != "string" {
		t.Fatalf("got %v", err)
	}
}

func TestGenerationsNeverWrapIntoAnOldHandle(t *testing.T) {
	var table Table
	h := table.Put("a")
	table.slots[uint32(h)].generation = ^uint32(0)
	last := uint64(^uint32(0))<<32 | uint64(uint32(h))
	if _, err := table.Take(last); err != nil {
		t.Fatal(err)
	}
	if fresh := table.Put("b"); uint32(fresh) == uint32(h) {
		t.Fatal("a worn-out slot was reused")
	}
}

func TestConcurrentUse(t *testing.T) {
	var table Table
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 1000 {
				h := table.Put(i)
				if got, err := Get[int](&table, h); err != nil || got != i {
					t.Errorf("got %d, %v; want %d", got, err, i)
				}
				if _, err := table.Take(h); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if table.Len() != 0 {
		t.Fatalf("%d handles left", table.Len())
	}
}
