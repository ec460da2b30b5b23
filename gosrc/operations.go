package main

/*
#include "pyctd.h"
typedef const char pyctd_cchar;
*/
import "C"

import (
	"context"

	"github.com/pyctd/pyctd/gosrc/internal/core"
)

//export pyctd_client_new
func pyctd_client_new(queue C.pyctd_handle, timeout C.int64_t, address *C.pyctd_cchar, addressLen C.size_t, ns *C.pyctd_cchar, nsLen C.size_t, stateDir *C.pyctd_cchar, stateDirLen C.size_t, cookie C.uint64_t) C.int64_t {
	at := text(address, addressLen)
	namespace := text(ns, nsLen)
	state := text(stateDir, stateDirLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.NewClient(ctx, at, namespace, state, uint64(cookie))
	})
}

//export pyctd_client_version
func pyctd_client_version(queue C.pyctd_handle, timeout C.int64_t, client C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.ClientVersion(ctx, uint64(client))
	})
}

//export pyctd_client_load_container
func pyctd_client_load_container(queue C.pyctd_handle, timeout C.int64_t, client C.pyctd_handle, id *C.pyctd_cchar, idLen C.size_t) C.int64_t {
	name := text(id, idLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.LoadContainer(ctx, uint64(client), name)
	})
}

//export pyctd_client_containers
func pyctd_client_containers(queue C.pyctd_handle, timeout C.int64_t, client C.pyctd_handle, filters *C.pyctd_cchar, filtersLen C.size_t) C.int64_t {
	chosen := blob(filters, filtersLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Containers(ctx, uint64(client), chosen)
	})
}

//export pyctd_client_new_container
func pyctd_client_new_container(queue C.pyctd_handle, timeout C.int64_t, client C.pyctd_handle, replace C.int32_t, id *C.pyctd_cchar, idLen C.size_t, spec *C.pyctd_cchar, specLen C.size_t, shim *C.pyctd_cchar, shimLen C.size_t, runtimeOptions *C.pyctd_cchar, runtimeOptionsLen C.size_t, opts *C.pyctd_cchar, optsLen C.size_t) C.int64_t {
	request := core.NewContainerRequest{
		Replace: replace != 0, ID: text(id, idLen), Shim: text(shim, shimLen), Spec: blob(spec, specLen),
		RuntimeOptions: blob(runtimeOptions, runtimeOptionsLen), Opts: blob(opts, optsLen),
	}
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.NewContainer(ctx, uint64(client), request)
	})
}

//export pyctd_container_new_task
func pyctd_container_new_task(queue C.pyctd_handle, timeout C.int64_t, container C.pyctd_handle, checkpointDir *C.pyctd_cchar, checkpointDirLen C.size_t, withStdin C.int32_t, stdioCookie C.uint64_t, andStart C.int32_t) C.int64_t {
	checkpoint := text(checkpointDir, checkpointDirLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.NewTask(ctx, uint64(container), checkpoint, withStdin != 0, uint64(stdioCookie), andStart != 0)
	})
}

//export pyctd_container_task
func pyctd_container_task(queue C.pyctd_handle, timeout C.int64_t, container C.pyctd_handle, stdioCookie C.uint64_t) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Task(ctx, uint64(container), uint64(stdioCookie))
	})
}

//export pyctd_container_delete
func pyctd_container_delete(queue C.pyctd_handle, timeout C.int64_t, container C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.DeleteContainer(ctx, uint64(container))
	})
}

//export pyctd_container_info
func pyctd_container_info(queue C.pyctd_handle, timeout C.int64_t, container C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.ContainerInfo(ctx, uint64(container))
	})
}

//export pyctd_container_set_labels
func pyctd_container_set_labels(queue C.pyctd_handle, timeout C.int64_t, container C.pyctd_handle, labels *C.pyctd_cchar, labelsLen C.size_t) C.int64_t {
	changes := blob(labels, labelsLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.SetLabels(ctx, uint64(container), changes)
	})
}

//export pyctd_process_kill
func pyctd_process_kill(queue C.pyctd_handle, timeout C.int64_t, process C.pyctd_handle, signal C.int32_t) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Kill(ctx, uint64(process), int32(signal))
	})
}

//export pyctd_process_resize
func pyctd_process_resize(queue C.pyctd_handle, timeout C.int64_t, process C.pyctd_handle, width C.uint32_t, height C.uint32_t) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Resize(ctx, uint64(process), uint32(width), uint32(height))
	})
}

//export pyctd_process_delete
func pyctd_process_delete(queue C.pyctd_handle, timeout C.int64_t, process C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.DeleteProcess(ctx, uint64(process))
	})
}

//export pyctd_process_wait
func pyctd_process_wait(queue C.pyctd_handle, timeout C.int64_t, process C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.WaitProcess(ctx, uint64(process))
	})
}

//export pyctd_process_close_stdin
func pyctd_process_close_stdin(queue C.pyctd_handle, timeout C.int64_t, process C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.CloseStdin(ctx, uint64(process))
	})
}

//export pyctd_process_status
func pyctd_process_status(queue C.pyctd_handle, timeout C.int64_t, process C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Status(ctx, uint64(process))
	})
}

//export pyctd_task_start
func pyctd_task_start(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.StartTask(ctx, uint64(task))
	})
}

//export pyctd_task_pause
func pyctd_task_pause(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Pause(ctx, uint64(task))
	})
}

//export pyctd_task_resume
func pyctd_task_resume(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Resume(ctx, uint64(task))
	})
}

//export pyctd_task_stats
func pyctd_task_stats(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Stats(ctx, uint64(task))
	})
}

//export pyctd_task_pids
func pyctd_task_pids(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Pids(ctx, uint64(task))
	})
}

//export pyctd_task_summary
func pyctd_task_summary(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Summary(ctx, uint64(task))
	})
}

//export pyctd_task_force_delete
func pyctd_task_force_delete(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.ForceDelete(ctx, uint64(task))
	})
}

//export pyctd_task_exec
func pyctd_task_exec(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle, id *C.pyctd_cchar, idLen C.size_t, spec *C.pyctd_cchar, specLen C.size_t, withStdin C.int32_t, stdioCookie C.uint64_t) C.int64_t {
	name, process := text(id, idLen), blob(spec, specLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.Exec(ctx, uint64(task), name, process, withStdin != 0, uint64(stdioCookie))
	})
}

//export pyctd_task_load_process
func pyctd_task_load_process(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle, id *C.pyctd_cchar, idLen C.size_t) C.int64_t {
	name := text(id, idLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.LoadProcess(ctx, uint64(task), name)
	})
}

//export pyctd_task_update_resources
func pyctd_task_update_resources(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle, resources *C.pyctd_cchar, resourcesLen C.size_t) C.int64_t {
	update := blob(resources, resourcesLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.UpdateResources(ctx, uint64(task), update)
	})
}

//export pyctd_task_create_checkpoint
func pyctd_task_create_checkpoint(queue C.pyctd_handle, timeout C.int64_t, task C.pyctd_handle, directory *C.pyctd_cchar, directoryLen C.size_t, exit C.int32_t) C.int64_t {
	into := text(directory, directoryLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.CreateCheckpoint(ctx, uint64(task), into, exit != 0)
	})
}

//export pyctd_stdio_open
func pyctd_stdio_open(queue C.pyctd_handle, timeout C.int64_t, stdio C.pyctd_handle, stream C.int32_t) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.OpenStdio(ctx, uint64(stdio), core.Stream(stream))
	})
}

//export pyctd_stdio_close_stream
func pyctd_stdio_close_stream(queue C.pyctd_handle, timeout C.int64_t, stdio C.pyctd_handle, stream C.int32_t) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.CloseStream(ctx, uint64(stdio), core.Stream(stream))
	})
}

//export pyctd_stdio_cancel
func pyctd_stdio_cancel(queue C.pyctd_handle, timeout C.int64_t, stdio C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.CancelStdio(uint64(stdio))
	})
}

//export pyctd_stdio_close
func pyctd_stdio_close(queue C.pyctd_handle, timeout C.int64_t, stdio C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.CloseStdio(uint64(stdio))
	})
}

//export pyctd_engine_start
func pyctd_engine_start(queue C.pyctd_handle, timeout C.int64_t, root *C.pyctd_cchar, rootLen C.size_t, state *C.pyctd_cchar, stateLen C.size_t, logLevel *C.pyctd_cchar, logLevelLen C.size_t, path *C.pyctd_cchar, pathLen C.size_t) C.int64_t {
	rootDir := text(root, rootLen)
	stateDir := text(state, stateLen)
	level := text(logLevel, logLevelLen)
	search := text(path, pathLen)
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.StartEngine(ctx, rootDir, stateDir, level, search)
	})
}

//export pyctd_engine_stop
func pyctd_engine_stop(queue C.pyctd_handle, timeout C.int64_t, engine C.pyctd_handle) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.StopEngine(ctx, uint64(engine), false, false)
	})
}

//export pyctd_engine_discard
func pyctd_engine_discard(queue C.pyctd_handle, timeout C.int64_t, engine C.pyctd_handle, root C.int32_t, state C.int32_t) C.int64_t {
	return start(queue, timeout, func(c *core.Core, ctx context.Context) (core.Result, error) {
		return c.StopEngine(ctx, uint64(engine), root != 0, state != 0)
	})
}
