/*
 * pyctd.h: the C ABI of libpyctd, moby's libcontainerd client behind opaque handles.
 *
 * This file is the single statement of the boundary. Go includes it (cgo), C callers include it, and the build passes
 * the part between the CFFI marks to CFFI verbatim, so that part contains only declarations: no directive except a
 * #define of a number. A test compares it with the library's exported symbols.
 *
 * Rules that hold for every function
 *   Strings in    are a pointer and a length in bytes, UTF-8, and are copied before the call returns. A null pointer
 *                 with length 0 is the empty string.
 *   Handles       are numbers from one table, typed and generation-checked. 0 is never a handle. A stale, forged or
 *                 wrong-typed handle yields PYCTD_CLOSED or PYCTD_INVALID_ARGUMENT, never another object. Release each
 *                 once with pyctd_release; a second release returns PYCTD_CLOSED and is harmless.
 *   Operations    never block. Each function that takes a queue and a timeout starts an operation and returns its id
 *                 (> 0), or minus a pyctd_kind if it could not start (then no completion follows). The outcome arrives
 *                 on the queue as exactly one pyctd_completion, in order of finishing. timeout_ns is the operation's
 *                 deadline from now: negative means none, 0 has already passed. pyctd_cancel cancels its Go context.
 *                 Starts, execs and checkpoints are never cut off: the end of the context ends only the wait. Whatever
 *                 a start or an exec creates after that is undone, and the next one with its id waits for the undo.
 *   Panics        in Go are recovered in every export and every goroutine of ours, and arrive as PYCTD_INTERNAL.
 *   Threads       any thread may call any function. A forked child may call none.
 */
#ifndef PYCTD_H
#define PYCTD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CFFI: begin */

/* The version of this ABI: when it changes, callers must be rebuilt. pyctd_abi_version returns the library's own. */
#define PYCTD_ABI_VERSION 4

typedef uint64_t pyctd_handle;

/* What went wrong: the kinds of containerd's errdefs, then two of our own. Errdefs without a kind here map to another:
 * NotModified to PYCTD_FAILED_PRECONDITION, Aborted to PYCTD_CONFLICT, OutOfRange to PYCTD_INVALID_ARGUMENT,
 * Unauthenticated to PYCTD_PERMISSION_DENIED and DataLoss to PYCTD_INTERNAL. */
typedef enum {
    PYCTD_OK = 0,
    PYCTD_UNKNOWN = 1,
    PYCTD_INVALID_ARGUMENT = 2,
    PYCTD_NOT_FOUND = 3,
    PYCTD_ALREADY_EXISTS = 4,
    PYCTD_PERMISSION_DENIED = 5,
    PYCTD_RESOURCE_EXHAUSTED = 6,
    PYCTD_FAILED_PRECONDITION = 7,
    PYCTD_CONFLICT = 8,
    PYCTD_UNAVAILABLE = 9,
    PYCTD_DEADLINE_EXCEEDED = 10,
    PYCTD_CANCELED = 11,
    PYCTD_UNIMPLEMENTED = 12,
    PYCTD_INTERNAL = 13,
    PYCTD_CLOSED = 14,   /* the handle, or what it belongs to, is closed */
    PYCTD_CALLBACK = 15  /* a stdio callback reported that it failed */
} pyctd_kind;

/* The outcome of one operation. */
typedef struct {
    int64_t op;        /* what the starting function returned */
    int32_t kind;      /* a pyctd_kind; PYCTD_OK when it went well */
    uint32_t code;     /* pid or exit code, where the operation has one */
    uint64_t value;    /* a new handle or a descriptor, where the operation has one; the caller then owns it */
    int64_t sec;       /* time of exit: seconds since the epoch; with nsec, 0 and 0 for Go's zero time */
    int32_t nsec;
    char *data;        /* UTF-8: Go's err.Error() when kind is not OK, else the operation's payload or NULL; */
    size_t len;        /* the caller frees it with pyctd_free */
    char *detail;      /* UTF-8: what an error's text leaves out, such as the reason in CRIU's log, or what an operation
                        * reports beside its payload; or NULL; */
    size_t detail_len; /* the caller frees it with pyctd_free */
} pyctd_completion;

typedef enum {
    PYCTD_EVENT_UNKNOWN = 0,
    PYCTD_EVENT_EXIT = 1,
    PYCTD_EVENT_OOM = 2,
    PYCTD_EVENT_CREATE = 3,
    PYCTD_EVENT_START = 4,
    PYCTD_EVENT_EXEC_ADDED = 5,
    PYCTD_EVENT_EXEC_STARTED = 6,
    PYCTD_EVENT_PAUSED = 7,
    PYCTD_EVENT_RESUMED = 8,
    PYCTD_EVENT_GAP = 9  /* not from libcontainerd: the connection was lost, and events with it, since sec and nsec; error
                          * says why. The exits in the gap that containerd reports when asked follow. */
} pyctd_event_type;

/* One call of libcontainerd's Backend.ProcessEvent, or its replacement after a gap. It has no pointers: its strings
 * follow one another in a separate block, in the order container_id, process_id, error. */
typedef struct {
    uint64_t cookie;   /* what pyctd_client_new was given */
    uint64_t token;    /* for pyctd_event_ack */
    int64_t sec;       /* time of exit, as in pyctd_completion */
    int32_t nsec;
    int32_t type;      /* a pyctd_event_type */
    uint32_t pid;
    uint32_t exit_code;
    uint32_t container_id_len;
    uint32_t process_id_len;
    int32_t error_len; /* of EventInfo.Error's text, or -1 for nil */
    int32_t origin;    /* 0: came through ProcessEvent. 1: did not; a gap, or an exit found after one. 2: a start or an exit
                        * that came through ProcessEvent after the exit was reported as 1. With 1, an exit that containerd
                        * no longer knows has exit code 255 and an error; its own event then comes with 0 */
} pyctd_event;

/* The answer of on_event. */
typedef enum {
    PYCTD_EVENT_HANDLED = 0, /* ProcessEvent returns nil */
    PYCTD_EVENT_PENDING = 1  /* ProcessEvent returns at pyctd_event_ack(token), which may already have been called */
} pyctd_event_answer;

/* A cio.DirectIO, as the stdio callback sees it. The strings are valid only during the callback; an empty path means
 * that the stream does not exist. */
typedef struct {
    pyctd_handle stdio;  /* for pyctd_stdio_*. A callback that answers PYCTD_STDIO_ATTACHED must release it; it stays
                          * valid after the IO's close, so that stdin can still be closed then */
    int32_t terminal;
    const char *stdin_path;
    size_t stdin_path_len;
    const char *stdout_path;
    size_t stdout_path_len;
    const char *stderr_path;
    size_t stderr_path_len;
} pyctd_stdio;

typedef enum {
    PYCTD_STDIN = 0,
    PYCTD_STDOUT = 1,
    PYCTD_STDERR = 2
} pyctd_stream;

/* The answer of on_stdio. */
typedef enum {
    PYCTD_STDIO_FAILED = 0,   /* the call fails with PYCTD_CALLBACK; the DirectIO is cancelled and closed */
    PYCTD_STDIO_ATTACHED = 1, /* on_io is called for cancel, wait and close, as containerd's client calls cio.IO */
    PYCTD_STDIO_NONE = 2      /* the process runs without streams; the DirectIO is cancelled and closed, except for
                               * that of an already running task: its FIFOs stay for the next to attach */
} pyctd_stdio_answer;

/* The cio.IO methods that on_io carries, called on Go's threads. pyctd_release of a client closes its streams on the
 * calling thread, perhaps during a wait; pyctd_let_go closes them on a Go thread. */
typedef enum {
    PYCTD_IO_CANCEL = 0,
    PYCTD_IO_WAIT = 1,   /* return only when the streams are finished */
    PYCTD_IO_CLOSE = 2,  /* the last call for this cookie, except for one that another thread is about to make */
    PYCTD_IO_FORGET = 3  /* likewise, instead of the others, when another object deleted the process's task. What its
                          * streams hold stays readable until the stdio handle is released. */
} pyctd_io_call;

/* Called on Go's threads. Each may call back into this library; none may raise, unwind or longjmp. */
typedef struct {
    /* sizeof(pyctd_callbacks) where the caller was compiled. Later versions append members; a library ignores those
     * that it does not know. */
    size_t size;
    /* An event and its strings, both valid only during the callback. Returns a pyctd_event_answer. A container's next
     * event comes when this one is handled; events of different containers come concurrently, on several threads. The
     * callback may block, except for a PYCTD_EVENT_GAP: no other event comes before that one returns. */
    int32_t (*on_event)(const pyctd_event *event, const char *strings, size_t strings_len);
    int32_t (*on_stdio)(uint64_t cookie, const pyctd_stdio *io);
    void (*on_io)(uint64_t cookie, int32_t call);
    /* A log record: level is logrus's (0 panic … 6 trace), fields a JSON object. Strings are valid only during
     * the callback. */
    void (*on_log)(int32_t level, const char *text, size_t text_len, const char *fields, size_t fields_len);
} pyctd_callbacks;

/* Live objects, for leak tests. */
typedef struct {
    uint64_t handles;
    uint64_t operations;
    uint64_t pending_events;
    uint64_t goroutines;
} pyctd_counts;

/* -- the library itself ------------------------------------------------------------------------------------------ */

/* The library's PYCTD_ABI_VERSION: a caller compiled with another must not go on. */
uint32_t pyctd_abi_version(void);
/* Sets this process's callbacks, which are copied. Call it once, before creating any client. log_level is as in on_log.
 * Returns 0; PYCTD_INVALID_ARGUMENT if a callback is missing or size is too small; PYCTD_ALREADY_EXISTS the second time;
 * PYCTD_RESOURCE_EXHAUSTED if too few descriptors are left, after which it can be called again. */
int32_t pyctd_init(const pyctd_callbacks *callbacks, int32_t log_level);
/* Sets which log records are made from now on. */
int32_t pyctd_set_log_level(int32_t log_level);
/* Closes every client, cancels every operation, and waits at most timeout_ns for their goroutines. It does not stop
 * engines (their daemons end with the process): stop them first. 0, or PYCTD_DEADLINE_EXCEEDED. */
int32_t pyctd_shutdown(int64_t timeout_ns);
/* Waits at most timeout_ns until every abandoned call, whose work goes on, is finished or undone. Call it at the end of a
 * program, before pyctd_shutdown. 0, or PYCTD_DEADLINE_EXCEEDED. */
int32_t pyctd_undone(int64_t timeout_ns);
void pyctd_get_counts(pyctd_counts *out);
/* Frees data or detail of a pyctd_completion; NULL is fine. */
void pyctd_free(char *data);
/* Releases a handle. A client closes its connection, its event stream and its streams' descriptors (tasks live on), a
 * queue closes its descriptor and cancels its operations, an engine keeps running. 0 or a pyctd_kind. */
int32_t pyctd_release(pyctd_handle handle);
/* pyctd_release for finalizers: it calls nothing back on this thread, which a garbage collector may have interrupted
 * anywhere, with any lock held. A client's streams are closed after it returns. */
int32_t pyctd_let_go(pyctd_handle handle);

/* -- queues and operations --------------------------------------------------------------------------------------- */

/* A completion queue and its eventfd, readable while completions wait. The queue owns the descriptor: poll it, never
 * read or close it. */
pyctd_handle pyctd_queue_new(int32_t *fd);
/* Moves at most capacity completions into out. Returns how many, or minus a pyctd_kind. */
int64_t pyctd_queue_drain(pyctd_handle queue, pyctd_completion *out, size_t capacity);
/* Cancels the operation's context. Its completion still follows. 0, or PYCTD_NOT_FOUND if it has finished. */
int32_t pyctd_cancel(int64_t op);
/* Ends one ProcessEvent whose callback answers PYCTD_EVENT_PENDING; error is the text of the error that it returns, empty
 * for nil. 0, or PYCTD_NOT_FOUND. */
int32_t pyctd_event_ack(uint64_t token, const char *error, size_t error_len);

/* -- Client ------------------------------------------------------------------------------------------------------ */

/* libcontainerd.NewClient on a containerd client for the socket at address. Completes once events flow.
 * state_dir: an absolute path, for bundles, FIFOs and runc's state. value: the client's handle. cookie comes back in its
 * events. */
int64_t pyctd_client_new(pyctd_handle queue, int64_t timeout_ns, const char *address, size_t address_len,
                         const char *ns, size_t ns_len, const char *state_dir, size_t state_dir_len, uint64_t cookie);
/* Turns the client's events on or off. They are on at first, and each costs a callback. 0 or a pyctd_kind. */
int32_t pyctd_client_listen(pyctd_handle client, int32_t listen);
/* data: {"version": …, "revision": …} */
int64_t pyctd_client_version(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client);
/* value: the container's handle. */
int64_t pyctd_client_load_container(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client, const char *id,
                                    size_t id_len);
/* containerd's own Containers, which libcontainerd lacks. filters: a JSON array of strings in containerd's syntax, of
 * which a container must match one; empty for all containers. data: a JSON array of {"id": …, "labels": {…},
 * "image": …, "runtime": …, "snapshotter": …, "snapshot_key": …, "sandbox_id": …, "created_at": [sec, nsec],
 * "updated_at": [sec, nsec], "spec": {…} or null, "extensions": {name: {"type_url": …, "value": base64}}}. */
int64_t pyctd_client_containers(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client, const char *filters,
                                size_t filters_len);
/* NewContainer, or libcontainerd.ReplaceContainer when replace is not 0. spec: an OCI runtime spec as JSON.
 * runtime_options: a JSON object for moby's shimopts.Generate; empty for none. opts: a JSON array of {"name": …,
 * "value": …}, the containerd.NewContainerOpts in order; empty for none. value: the container's handle. */
int64_t pyctd_client_new_container(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client, int32_t replace,
                                   const char *id, size_t id_len, const char *spec, size_t spec_len, const char *shim,
                                   size_t shim_len, const char *runtime_options, size_t runtime_options_len,
                                   const char *opts, size_t opts_len);

/* -- Container --------------------------------------------------------------------------------------------------- */

/* NewTask. If start is not 0, libcontainerd's former Container.Start: NewTask, Task.Start, and a failed start deletes the
 * task with kill. stdio_cookie comes back in on_stdio and on_io; 0 attaches nothing. checkpoint_dir: an absolute path, or
 * empty. value: the task's handle, code: its pid. */
int64_t pyctd_container_new_task(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container,
                                 const char *checkpoint_dir, size_t checkpoint_dir_len, int32_t with_stdin,
                                 uint64_t stdio_cookie, int32_t start);
/* Task, or AttachTask when stdio_cookie is not 0. value: the task's handle, code: its pid. */
int64_t pyctd_container_task(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container, uint64_t stdio_cookie);
int64_t pyctd_container_delete(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container);
/* containerd's Container.Info, which libcontainerd lacks. data: an object as in pyctd_client_containers. */
int64_t pyctd_container_info(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container);
/* containerd's Container.SetLabels. labels: a JSON object of the labels to set; an empty value removes a label, and the
 * others stay. PYCTD_INVALID_ARGUMENT for a change of the label that holds libcontainerd's bundle. data: all labels, a
 * JSON object. */
int64_t pyctd_container_set_labels(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container, const char *labels,
                                   size_t labels_len);

/* -- Process: the handle is a task's or an exec's ---------------------------------------------------------------- */

int64_t pyctd_process_kill(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process, int32_t signal);
int64_t pyctd_process_resize(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process, uint32_t width,
                             uint32_t height);
/* code, sec, nsec: the exit status; detail: as in pyctd_process_wait. */
int64_t pyctd_process_delete(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process);
/* Completes when the process has exited, across any number of daemon restarts. code, sec, nsec: the exit status; data:
 * its error's text, if any; detail: for a task {"oom_killed": …}, whether the kernel's OOM killer has killed any of its
 * processes; NULL if unknown. */
int64_t pyctd_process_wait(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process);
/* CloseIO with WithStdinCloser. */
int64_t pyctd_process_close_stdin(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process);
/* data: {"status": …}; code, sec, nsec: exit status and time. */
int64_t pyctd_process_status(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process);

/* -- Task -------------------------------------------------------------------------------------------------------- */

int64_t pyctd_task_start(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
int64_t pyctd_task_pause(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
int64_t pyctd_task_resume(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
/* data: {"type": the metrics' type, "metrics": {…}}; sec, nsec: when they were read. */
int64_t pyctd_task_stats(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
/* data: [{"pid": …, "info": null or {"type_url": …, "value": base64}, "exec_id": null or …}, …]; runc's shim reports
 * which process an exec has started. */
int64_t pyctd_task_pids(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
/* data: a JSON array of objects, empty ones on Linux. */
int64_t pyctd_task_summary(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
int64_t pyctd_task_force_delete(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
/* spec: an OCI runtime spec's process object as JSON. value: the process's handle, code: its pid. */
int64_t pyctd_task_exec(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *id, size_t id_len,
                        const char *spec, size_t spec_len, int32_t with_stdin, uint64_t stdio_cookie);
/* containerd's Task.LoadProcess, which libcontainerd lacks: an exec that any client has started, without its streams.
 * value: the process's handle, code: its pid. */
int64_t pyctd_task_load_process(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *id, size_t id_len);
/* resources: an OCI runtime spec's linux.resources object as JSON. */
int64_t pyctd_task_update_resources(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *resources,
                                    size_t resources_len);
/* directory: an absolute path, created if missing. */
int64_t pyctd_task_create_checkpoint(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *directory,
                                     size_t directory_len, int32_t exit);

/* -- stdio: the DirectIO of a callback --------------------------------------------------------------------------- */

/* Replaces what cio.IO.Config returns: the streams that containerd gives to the process, each a path or a URI (file:,
 * binary:), empty for none. Call it during an on_stdio that answers PYCTD_STDIO_ATTACHED. 0 or a pyctd_kind. */
int32_t pyctd_stdio_set_config(pyctd_handle stdio, int32_t terminal, const char *stdin_path, size_t stdin_path_len,
                               const char *stdout_path, size_t stdout_path_len, const char *stderr_path,
                               size_t stderr_path_len);
/* Completes when the other side has opened the FIFO. value: a new descriptor, blocking, close-on-exec, for the FIFO
 * that Go opened; the caller closes it. */
int64_t pyctd_stdio_open(pyctd_handle queue, int64_t timeout_ns, pyctd_handle stdio, int32_t stream);
/* Closes Go's side of one stream. For stdin this is libcontainerd's Close, which also tells containerd (CloseIO). */
int64_t pyctd_stdio_close_stream(pyctd_handle queue, int64_t timeout_ns, pyctd_handle stdio, int32_t stream);
/* DirectIO.Cancel: gives up streams that the other side has not opened yet. */
int64_t pyctd_stdio_cancel(pyctd_handle queue, int64_t timeout_ns, pyctd_handle stdio);
/* DirectIO.Close: closes every stream and removes the FIFOs; it does not tell containerd that stdin has ended. */
int64_t pyctd_stdio_close(pyctd_handle queue, int64_t timeout_ns, pyctd_handle stdio);

/* -- Engine ------------------------------------------------------------------------------------------------------ */

/* moby's libcontainerd/supervisor: starts containerd from the given PATH, which becomes containerd's own, and restarts it
 * when it dies. root and state: absolute paths of its directories, where nobody else may write. value: the engine's
 * handle; data: the address of its socket. On failure no containerd is left, and directories that were empty are empty
 * again. */
int64_t pyctd_engine_start(pyctd_handle queue, int64_t timeout_ns, const char *root, size_t root_len,
                           const char *state, size_t state_len, const char *log_level, size_t log_level_len,
                           const char *path, size_t path_len);
/* Deletes every container and task in every namespace of that daemon, then stops it and releases the handle. A task that
 * can't be deleted in twenty seconds is killed with its shim. state/bundles is removed. */
int64_t pyctd_engine_stop(pyctd_handle queue, int64_t timeout_ns, pyctd_handle engine);
/* Likewise, then removes its root, its state, or both, with their contents. Mounts there are unmounted; no link is
 * followed and no mount crossed. */
int64_t pyctd_engine_discard(pyctd_handle queue, int64_t timeout_ns, pyctd_handle engine, int32_t root, int32_t state);

/* CFFI: end */

#ifdef __cplusplus
}
#endif

#endif
