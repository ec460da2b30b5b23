package main

/*
#include <stdlib.h>
#include "pyctd.h"

// cgo cannot call a function pointer.
static int32_t call_on_event(pyctd_callbacks c, const pyctd_event *event, const char *strings, size_t strings_len) {
    return c.on_event(event, strings, strings_len);
}
static int32_t call_on_stdio(pyctd_callbacks c, uint64_t cookie, const pyctd_stdio *io) { return c.on_stdio(cookie, io); }
static void call_on_io(pyctd_callbacks c, uint64_t cookie, int32_t call) { c.on_io(cookie, call); }
static void call_on_log(pyctd_callbacks c, int32_t level, const char *text, size_t text_len, const char *fields, size_t fields_len) {
    c.on_log(level, text, text_len, fields, fields_len);
}
*/
import "C"

import (
	"unsafe"

	"github.com/pyctd/pyctd/gosrc/internal/core"
)

// hostCallbacks calls the C functions that pyctd_init was given.
type hostCallbacks struct{ c C.pyctd_callbacks }

var eventTypes = map[string]C.int32_t{
	"exit":         C.PYCTD_EVENT_EXIT,
	"oom":          C.PYCTD_EVENT_OOM,
	"create":       C.PYCTD_EVENT_CREATE,
	"start":        C.PYCTD_EVENT_START,
	"exec-added":   C.PYCTD_EVENT_EXEC_ADDED,
	"exec-started": C.PYCTD_EVENT_EXEC_STARTED,
	"paused":       C.PYCTD_EVENT_PAUSED,
	"resumed":      C.PYCTD_EVENT_RESUMED,
	core.EventGap:  C.PYCTD_EVENT_GAP,
}

// arena owns the C copies of strings during one callback.
type arena []unsafe.Pointer

func (a *arena) copy(s string) (*C.char, C.size_t) {
	if s == "" {
		return nil, 0
	}
	p := C.CString(s)
	*a = append(*a, unsafe.Pointer(p))
	return p, C.size_t(len(s))
}

func (a *arena) free() {
	for _, p := range *a {
		C.free(p)
	}
}

func (h hostCallbacks) Event(event core.Event) core.EventAnswer {
	out := C.pyctd_event{
		cookie: C.uint64_t(event.Cookie), token: C.uint64_t(event.Token),
		_type: eventTypes[event.Type], // 0 (unknown) for any other
		pid:   C.uint32_t(event.Pid), exit_code: C.uint32_t(event.ExitCode), origin: C.int32_t(event.Origin),
		container_id_len: C.uint32_t(len(event.ContainerID)), process_id_len: C.uint32_t(len(event.ProcessID)), error_len: -1,
	}
	if !event.ExitedAt.IsZero() {
		out.sec, out.nsec = C.int64_t(event.ExitedAt.Unix()), C.int32_t(event.ExitedAt.Nanosecond())
	}
	strings := append(append(make([]byte, 0, 192), event.ContainerID...), event.ProcessID...)
	if event.Error != nil {
		text := event.Error.Error()
		out.error_len = C.int32_t(len(text))
		strings = append(strings, text...)
	}
	return core.EventAnswer(C.call_on_event(h.c, &out, (*C.char)(unsafe.Pointer(unsafe.SliceData(strings))), C.size_t(len(strings))))
}

func (h hostCallbacks) Stdio(cookie, stdio uint64, io *core.DirectIO) core.StdioAnswer {
	var strings arena
	defer strings.free()
	config := io.Config()
	out := (*C.pyctd_stdio)(C.calloc(1, C.size_t(unsafe.Sizeof(C.pyctd_stdio{}))))
	defer C.free(unsafe.Pointer(out))
	out.stdio = C.pyctd_handle(stdio)
	if config.Terminal {
		out.terminal = 1
	}
	out.stdin_path, out.stdin_path_len = strings.copy(config.Stdin)
	out.stdout_path, out.stdout_path_len = strings.copy(config.Stdout)
	out.stderr_path, out.stderr_path_len = strings.copy(config.Stderr)
	return core.StdioAnswer(C.call_on_stdio(h.c, C.uint64_t(cookie), out))
}

func (h hostCallbacks) IO(cookie uint64, call core.IOCall) {
	C.call_on_io(h.c, C.uint64_t(cookie), C.int32_t(call))
}

func (h hostCallbacks) Log(level int32, text, fields string) {
	var strings arena
	defer strings.free()
	message, messageLen := strings.copy(text)
	json, jsonLen := strings.copy(fields)
	C.call_on_log(h.c, C.int32_t(level), message, messageLen, json, jsonLen)
}
