// Command gosrc is libpyctd, the c-shared library behind pyctd.h. The exports are thin: unpack, call, pack.
package main

/*
#include <stdlib.h>
#include <string.h>
#include "pyctd.h"

// Go has no const: these names give the exports the header's own types, so that the C compiler checks one against the
// other.
typedef const char pyctd_cchar;
typedef const pyctd_callbacks pyctd_ccallbacks;
*/
import "C"

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pyctd/pyctd/gosrc/internal/core"
	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

var current atomic.Pointer[core.Core]

// initialising lets one caller at a time make the core: a second core, even an unused one, takes over the log.
var initialising sync.Mutex

func main() {}

// guard turns an export's panic into its return value.
func guard[T any](answer *T, failed T) {
	if p := recover(); p != nil {
		*answer = failed
	}
}

// text copies a string in. A length that cgo can't copy gives the empty string, which the callee refuses if it needs one.
func text(data *C.pyctd_cchar, length C.size_t) string { return string(blob(data, length)) }

func blob(data *C.pyctd_cchar, length C.size_t) []byte {
	if data == nil || length == 0 || length > math.MaxInt32 {
		return nil
	}
	return C.GoBytes(unsafe.Pointer(data), C.int(length))
}

type work = func(*core.Core, context.Context) (core.Result, error)

// start begins an operation and returns the export's return value.
func start(queue C.pyctd_handle, timeout C.int64_t, do work) (op C.int64_t) {
	defer guard(&op, -C.int64_t(kind.Internal))
	c := current.Load()
	if c == nil {
		return -C.int64_t(kind.FailedPrecondition)
	}
	id, err := c.Start(uint64(queue), int64(timeout), func(ctx context.Context) (core.Result, error) { return do(c, ctx) })
	if err != nil {
		return -C.int64_t(kind.Of(err))
	}
	return C.int64_t(id)
}

//export pyctd_abi_version
func pyctd_abi_version() C.uint32_t { return C.PYCTD_ABI_VERSION }

//export pyctd_init
func pyctd_init(callbacks *C.pyctd_ccallbacks, logLevel C.int32_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	if callbacks == nil || callbacks.size < C.sizeof_pyctd_callbacks || callbacks.on_event == nil || callbacks.on_stdio == nil || callbacks.on_io == nil || callbacks.on_log == nil {
		return C.int32_t(kind.InvalidArgument)
	}
	initialising.Lock()
	defer initialising.Unlock()
	if current.Load() != nil {
		return C.int32_t(kind.AlreadyExists)
	}
	if err := core.StartPoller(); err != nil {
		return C.int32_t(kind.Of(err))
	}
	current.Store(core.New(hostCallbacks{*callbacks}, int32(logLevel))) // the caller's struct need not outlive this call
	return C.int32_t(kind.OK)
}

//export pyctd_set_log_level
func pyctd_set_log_level(level C.int32_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	return C.int32_t(kind.Of(core.SetLogLevel(int32(level))))
}

//export pyctd_shutdown
func pyctd_shutdown(timeout C.int64_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	if c := current.Load(); c != nil && !c.Shutdown(time.Duration(timeout)) {
		return C.int32_t(kind.DeadlineExceeded)
	}
	return C.int32_t(kind.OK)
}

//export pyctd_undone
func pyctd_undone(timeout C.int64_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	if c := current.Load(); c != nil && !c.Undone(time.Duration(timeout)) {
		return C.int32_t(kind.DeadlineExceeded)
	}
	return C.int32_t(kind.OK)
}

//export pyctd_get_counts
func pyctd_get_counts(out *C.pyctd_counts) {
	var none struct{}
	defer guard(&none, none)
	c := current.Load()
	if out == nil || c == nil {
		return
	}
	counts := c.Counts()
	out.handles, out.operations = C.uint64_t(counts.Handles), C.uint64_t(counts.Operations)
	out.pending_events, out.goroutines = C.uint64_t(counts.PendingEvents), C.uint64_t(counts.Goroutines)
}

//export pyctd_release
func pyctd_release(handle C.pyctd_handle) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	c := current.Load()
	if c == nil {
		return C.int32_t(kind.Closed)
	}
	return C.int32_t(kind.Of(c.Release(uint64(handle))))
}

//export pyctd_let_go
func pyctd_let_go(handle C.pyctd_handle) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	c := current.Load()
	if c == nil {
		return C.int32_t(kind.Closed)
	}
	return C.int32_t(kind.Of(c.LetGo(uint64(handle))))
}

//export pyctd_queue_new
func pyctd_queue_new(fd *C.int32_t) (handle C.pyctd_handle) {
	defer guard(&handle, 0)
	c := current.Load()
	if c == nil || fd == nil {
		return 0
	}
	queue, descriptor, err := c.NewQueue()
	if err != nil {
		return 0
	}
	*fd = C.int32_t(descriptor)
	return C.pyctd_handle(queue)
}

//export pyctd_queue_drain
func pyctd_queue_drain(queue C.pyctd_handle, out *C.pyctd_completion, capacity C.size_t) (count C.int64_t) {
	defer guard(&count, -C.int64_t(kind.Internal))
	c := current.Load()
	if c == nil {
		return -C.int64_t(kind.Closed)
	}
	if out == nil {
		return -C.int64_t(kind.InvalidArgument)
	}
	done, err := c.Drain(uint64(queue), int(min(capacity, 1<<16)))
	if err != nil {
		return -C.int64_t(kind.Of(err))
	}
	for i, completion := range unsafe.Slice(out, len(done)) {
		from := done[i]
		completion = C.pyctd_completion{op: C.int64_t(from.Op), kind: C.int32_t(from.Kind), code: C.uint32_t(from.Code), value: C.uint64_t(from.Value)}
		if !from.At.IsZero() {
			completion.sec, completion.nsec = C.int64_t(from.At.Unix()), C.int32_t(from.At.Nanosecond())
		}
		if len(from.Data) > 0 {
			completion.data, completion.len = (*C.char)(C.CBytes(from.Data)), C.size_t(len(from.Data))
		}
		if len(from.Detail) > 0 {
			completion.detail, completion.detail_len = (*C.char)(C.CBytes(from.Detail)), C.size_t(len(from.Detail))
		}
		unsafe.Slice(out, len(done))[i] = completion
	}
	return C.int64_t(len(done))
}

//export pyctd_cancel
func pyctd_cancel(op C.int64_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	if c := current.Load(); c == nil || !c.Cancel(int64(op)) {
		return C.int32_t(kind.NotFound)
	}
	return C.int32_t(kind.OK)
}

//export pyctd_stdio_set_config
func pyctd_stdio_set_config(stdio C.pyctd_handle, terminal C.int32_t, stdin *C.pyctd_cchar, stdinLen C.size_t, stdout *C.pyctd_cchar, stdoutLen C.size_t, stderr *C.pyctd_cchar, stderrLen C.size_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	c := current.Load()
	if c == nil {
		return C.int32_t(kind.Closed)
	}
	return C.int32_t(kind.Of(c.SetStdioConfig(uint64(stdio), core.IOConfig{
		Terminal: terminal != 0, Stdin: text(stdin, stdinLen), Stdout: text(stdout, stdoutLen), Stderr: text(stderr, stderrLen),
	})))
}

//export pyctd_client_listen
func pyctd_client_listen(client C.pyctd_handle, listen C.int32_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	c := current.Load()
	if c == nil {
		return C.int32_t(kind.Closed)
	}
	return C.int32_t(kind.Of(c.Listen(uint64(client), listen != 0)))
}

//export pyctd_event_ack
func pyctd_event_ack(token C.uint64_t, errText *C.pyctd_cchar, length C.size_t) (failed C.int32_t) {
	defer guard(&failed, C.int32_t(kind.Internal))
	if c := current.Load(); c == nil || !c.AckEvent(uint64(token), text(errText, length)) {
		return C.int32_t(kind.NotFound)
	}
	return C.int32_t(kind.OK)
}
