/*
 * pyctd.h: the C ABI of libpyctd, moby's libcontainerd client behind opaque handles.
 *
 * This file is the one statement of the boundary. Go includes it (cgo), C callers include it, and the build hands the
 * part between the CFFI marks to CFFI as it stands, so that part holds declarations only: no directive but a #define of a
 * number. A test compares it with the library's exported symbols.
 *
 * Rules that hold for every function
 *   Strings in    are a pointer and a length in bytes, UTF-8, and are copied before the call returns. A null pointer
 *                 with length 0 is the empty string.
 *   Handles       are numbers from one table, typed and generation-checked. 0 is never a handle. A stale, forged or
 *                 wrong-typed handle is answered with PYCTD_CLOSED or PYCTD_INVALID_ARGUMENT, never with another object.
 *                 Each is released by pyctd_release, once; a second release is PYCTD_CLOSED and harmless.
 *   Operations    never block. Each function that takes a queue starts an operation and returns its id (> 0), or minus
 *                 a pyctd_kind if it could not be started (then no completion follows). Its outcome arrives on the
 *                 queue as exactly one pyctd_completion, in order of finishing. timeout_ns is the operation's deadline
 *                 counted from now: negative is none, 0 is already past. pyctd_cancel cancels its Go context.
 *                 Starts, execs and checkpoints are never cut off: the end of the context ends the wait. What a start or an
 *                 exec makes after that is undone, and the next one with its id waits for the undoing.
 *   Panics        in Go are recovered in every export and every goroutine of ours, and arrive as PYCTD_INTERNAL.
 *   Threads       every function may be called from any thread. None may be called in a forked child.
 */
#ifndef PYCTD_H
#define PYCTD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CFFI: begin */

/* The version of this ABI: another number where a caller must be rebuilt. pyctd_abi_version has the library's own. */
#define PYCTD_ABI_VERSION 4

typedef uint64_t pyctd_handle;

/* What went wrong; the kinds are containerd's errdefs, then two of our own. Of errdefs, NotModified is
 * PYCTD_FAILED_PRECONDITION, Aborted PYCTD_CONFLICT, OutOfRange PYCTD_INVALID_ARGUMENT, Unauthenticated
 * PYCTD_PERMISSION_DENIED and DataLoss PYCTD_INTERNAL. */
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
    char *detail;      /* UTF-8: what an error's text does not tell, such as the reason in CRIU's log, or what an
                        * operation tells beside its payload, or NULL; */
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
    PYCTD_EVENT_GAP = 9  /* not of libcontainerd: the connection was lost, and with it events, since sec and nsec; error is
                          * why. Exits in the gap that containerd tells of when asked follow. */
} pyctd_event_type;

/* One call of libcontainerd's Backend.ProcessEvent, or what takes its place after a gap. It has no pointers: its strings
 * follow one another in a block of their own, container_id, process_id and error. */
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
    int32_t origin;    /* 0 for what came through ProcessEvent; 1 for a gap and the exits found after it, which did not; 2
                        * for a start or an exit that comes through ProcessEvent after the exit was told as 1. With 1, an exit
                        * that containerd knows nothing more of has the exit code 255 and an error; its event is 0 */
} pyctd_event;

/* What on_event answers. */
typedef enum {
    PYCTD_EVENT_HANDLED = 0, /* ProcessEvent returns nil */
    PYCTD_EVENT_PENDING = 1  /* ProcessEvent returns at pyctd_event_ack(token), which may have been called already */
} pyctd_event_answer;

/* A cio.DirectIO, as the stdio callback sees it. The strings are valid during the callback only; an empty path means
 * that there is no such stream. */
typedef struct {
    pyctd_handle stdio;  /* for pyctd_stdio_*; the callback's to release, where it answers PYCTD_STDIO_ATTACHED: it is
                          * good beyond the IO's close, so that stdin can still be closed then */
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

/* What on_stdio answers. */
typedef enum {
    PYCTD_STDIO_FAILED = 0,   /* the call fails with PYCTD_CALLBACK; the DirectIO is cancelled and closed */
    PYCTD_STDIO_ATTACHED = 1, /* on_io will be called for cancel, wait and close, as containerd's client calls cio.IO */
    PYCTD_STDIO_NONE = 2      /* the process runs without streams; the DirectIO is cancelled and closed, but for that of a
                               * task that runs already: its FIFOs stay for the next to attach */
} pyctd_stdio_answer;

/* The methods of cio.IO that on_io carries, from Go's threads. pyctd_release of a client makes the closes of its streams on
 * the thread that calls it, perhaps while a wait is under way; pyctd_let_go makes them on a thread of Go's. */
typedef enum {
    PYCTD_IO_CANCEL = 0,
    PYCTD_IO_WAIT = 1,   /* return only when the streams are done with */
    PYCTD_IO_CLOSE = 2,  /* the last call for this cookie, but for one that another thread is about to make */
    PYCTD_IO_FORGET = 3  /* likewise, in place of the others, when the process's task was deleted through another object.
                          * What its streams hold can be read until the stdio handle is released. */
} pyctd_io_call;

/* Called from Go's threads. Each may call back into this library; none may raise, unwind or longjmp. */
typedef struct {
    /* sizeof(pyctd_callbacks) where the caller was compiled. Later versions add members at the end: a library ignores those
     * that it does not know. */
    size_t size;
    /* An event and its strings, both valid during the callback only. Returns a pyctd_event_answer. The next event of the same
     * container comes when this one is handled; events of several containers come at the same time, on several threads. The
     * callback may block, except for a PYCTD_EVENT_GAP: no other event comes before that one returns. */
    int32_t (*on_event)(const pyctd_event *event, const char *strings, size_t strings_len);
    int32_t (*on_stdio)(uint64_t cookie, const pyctd_stdio *io);
    void (*on_io)(uint64_t cookie, int32_t call);
    /* A log record: level is logrus's (0 panic … 6 trace), fields a JSON object. Strings valid during the callback. */
    void (*on_log)(int32_t level, const char *text, size_t text_len, const char *fields, size_t fields_len);
} pyctd_callbacks;

/* What is alive, for leak tests. */
typedef struct {
    uint64_t handles;
    uint64_t operations;
    uint64_t pending_events;
    uint64_t goroutines;
} pyctd_counts;

/* -- the library itself ------------------------------------------------------------------------------------------ */

/* The PYCTD_ABI_VERSION of the library: a caller that was compiled with another must not go on. */
uint32_t pyctd_abi_version(void);
/* Sets the callbacks of this process, which are copied. Call it once, before any client is made. log_level is as in on_log.
 * 0; or PYCTD_INVALID_ARGUMENT where a callback is missing, or size is too small; PYCTD_ALREADY_EXISTS the second time;
 * PYCTD_RESOURCE_EXHAUSTED where too few descriptors are left: it can then be called again. */
int32_t pyctd_init(const pyctd_callbacks *callbacks, int32_t log_level);
/* Which log records are made from now on. */
int32_t pyctd_set_log_level(int32_t log_level);
/* Closes every client, cancels every operation, and waits at most timeout_ns for their goroutines. Engines are not
 * stopped (their daemons end with the process): stop them before. 0, or PYCTD_DEADLINE_EXCEEDED. */
int32_t pyctd_shutdown(int64_t timeout_ns);
/* Waits at most timeout_ns until every call that was cut off, whose work goes on, is done or undone: for the end of a
 * program, before pyctd_shutdown. 0, or PYCTD_DEADLINE_EXCEEDED. */
int32_t pyctd_undone(int64_t timeout_ns);
void pyctd_get_counts(pyctd_counts *out);
/* Frees data of a pyctd_completion; NULL is fine. */
void pyctd_free(char *data);
/* Releases a handle: a client is closed (its connection, its event stream, its streams' descriptors; tasks live on), a
 * queue's descriptor is closed and the operations on it are cancelled, an engine is left running. 0 or a pyctd_kind. */
int32_t pyctd_release(pyctd_handle handle);
/* As pyctd_release, for finalizers: it calls nothing back on this thread, which a garbage collector may have interrupted
 * anywhere, with any lock held. A client's streams are closed after it has returned. */
int32_t pyctd_let_go(pyctd_handle handle);

/* -- queues and operations --------------------------------------------------------------------------------------- */

/* A completion queue and its eventfd, readable while completions wait. The queue owns the descriptor: poll it, never
 * read or close it. */
pyctd_handle pyctd_queue_new(int32_t *fd);
/* Moves at most capacity completions out. Returns how many, or minus a pyctd_kind. */
int64_t pyctd_queue_drain(pyctd_handle queue, pyctd_completion *out, size_t capacity);
/* Cancels the operation's context. Its completion still follows. 0, or PYCTD_NOT_FOUND when it has finished. */
int32_t pyctd_cancel(int64_t op);
/* Ends one ProcessEvent whose callback answers PYCTD_EVENT_PENDING; error is its returned error's text, empty for nil. 0, or
 * PYCTD_NOT_FOUND. */
int32_t pyctd_event_ack(uint64_t token, const char *error, size_t error_len);

/* -- Client ------------------------------------------------------------------------------------------------------ */

/* libcontainerd.NewClient on a containerd client for the socket at address. Completes once events flow.
 * state_dir: where bundles, FIFOs and runc's state are made, an absolute path. value: the client's handle. cookie comes
 * back in its events. */
int64_t pyctd_client_new(pyctd_handle queue, int64_t timeout_ns, const char *address, size_t address_len,
                         const char *ns, size_t ns_len, const char *state_dir, size_t state_dir_len, uint64_t cookie);
/* Whether the client's events are to come at all: they do until told otherwise, and each costs a callback. 0 or a
 * pyctd_kind. */
int32_t pyctd_client_listen(pyctd_handle client, int32_t listen);
/* data: {"version": …, "revision": …} */
int64_t pyctd_client_version(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client);
/* value: the container's handle. */
int64_t pyctd_client_load_container(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client, const char *id,
                                    size_t id_len);
/* containerd's own Containers, of which libcontainerd has nothing. filters: a JSON array of strings in containerd's syntax,
 * of which a container must match one; empty is none, and all containers. data: a JSON array of {"id": …, "labels": {…},
 * "image": …, "runtime": …, "snapshotter": …, "snapshot_key": …, "sandbox_id": …, "created_at": [sec, nsec],
 * "updated_at": [sec, nsec], "spec": {…} or null, "extensions": {name: {"type_url": …, "value": base64}}}. */
int64_t pyctd_client_containers(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client, const char *filters,
                                size_t filters_len);
/* NewContainer, or libcontainerd.ReplaceContainer when replace is not 0. spec: an OCI runtime spec as JSON.
 * runtime_options: a JSON object for moby's shimopts.Generate; empty is none. opts: a JSON array of {"name": …,
 * "value": …}, the containerd.NewContainerOpts in order; empty is none. value: the container's handle. */
int64_t pyctd_client_new_container(pyctd_handle queue, int64_t timeout_ns, pyctd_handle client, int32_t replace,
                                   const char *id, size_t id_len, const char *spec, size_t spec_len, const char *shim,
                                   size_t shim_len, const char *runtime_options, size_t runtime_options_len,
                                   const char *opts, size_t opts_len);

/* -- Container --------------------------------------------------------------------------------------------------- */

/* NewTask; with start not 0 what libcontainerd's Container.Start was: NewTask, Task.Start, and on a failed start the
 * task is deleted with kill. stdio_cookie comes back in on_stdio and on_io; 0 attaches nothing. checkpoint_dir: an absolute path, or
 * empty. value: the task's handle, code: its pid. */
int64_t pyctd_container_new_task(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container,
                                 const char *checkpoint_dir, size_t checkpoint_dir_len, int32_t with_stdin,
                                 uint64_t stdio_cookie, int32_t start);
/* Task, or AttachTask when stdio_cookie is not 0. value: the task's handle, code: its pid. */
int64_t pyctd_container_task(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container, uint64_t stdio_cookie);
int64_t pyctd_container_delete(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container);
/* containerd's Container.Info, of which libcontainerd has nothing. data: an object as in pyctd_client_containers. */
int64_t pyctd_container_info(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container);
/* containerd's Container.SetLabels. labels: a JSON object of the labels to set; an empty value removes a label, and the
 * others stay. PYCTD_INVALID_ARGUMENT for another value of the label that has libcontainerd's bundle. data: all labels, a
 * JSON object. */
int64_t pyctd_container_set_labels(pyctd_handle queue, int64_t timeout_ns, pyctd_handle container, const char *labels,
                                   size_t labels_len);

/* -- Process: the handle is a task's or an exec's ---------------------------------------------------------------- */

int64_t pyctd_process_kill(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process, int32_t signal);
int64_t pyctd_process_resize(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process, uint32_t width,
                             uint32_t height);
/* code, sec, nsec: the exit status; detail: as in pyctd_process_wait. */
int64_t pyctd_process_delete(pyctd_handle queue, int64_t timeout_ns, pyctd_handle process);
/* Completes when the process has exited, however often the daemon restarts meanwhile. code, sec, nsec: the exit
 * status; data: its error's text, if it has one; detail: {"oom_killed": …}, of a task, whether the kernel has killed any of
 * its processes for want of memory; NULL where that is not known. */
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
/* data: [{"pid": …, "info": null or {"type_url": …, "value": base64}, "exec_id": null or …}, …]; runc's shim tells which
 * process an exec has started. */
int64_t pyctd_task_pids(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
/* data: a JSON array of objects, empty ones on Linux. */
int64_t pyctd_task_summary(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
int64_t pyctd_task_force_delete(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task);
/* spec: an OCI runtime spec's process object as JSON. value: the process's handle, code: its pid. */
int64_t pyctd_task_exec(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *id, size_t id_len,
                        const char *spec, size_t spec_len, int32_t with_stdin, uint64_t stdio_cookie);
/* containerd's Task.LoadProcess, which libcontainerd lacks: an exec that any client has started, without its streams. value: the process's handle, code: its pid. */
int64_t pyctd_task_load_process(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *id, size_t id_len);
/* resources: an OCI runtime spec's linux.resources object as JSON. */
int64_t pyctd_task_update_resources(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *resources,
                                    size_t resources_len);
/* directory: an absolute path; it is made if it is not there. */
int64_t pyctd_task_create_checkpoint(pyctd_handle queue, int64_t timeout_ns, pyctd_handle task, const char *directory,
                                     size_t directory_len, int32_t exit);

/* -- stdio: the DirectIO of a callback --------------------------------------------------------------------------- */

/* What cio.IO.Config is to answer in place of the DirectIO's own: the streams that containerd gives to the process, each
 * a path or a URI (file:, binary:), empty for none. To be called during on_stdio, which then answers
 * PYCTD_STDIO_ATTACHED. 0 or a pyctd_kind. */
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

/* moby's libcontainerd/supervisor: starts containerd from the PATH given, which is containerd's from then on, and starts it
 * again when it dies. root and state: its directories, absolute paths, where nobody else may write. value: the engine's
 * handle; data: the address of its socket. When it fails, no containerd is left, and nothing in directories that were
 * empty. */
int64_t pyctd_engine_start(pyctd_handle queue, int64_t timeout_ns, const char *root, size_t root_len,
                           const char *state, size_t state_len, const char *log_level, size_t log_level_len,
                           const char *path, size_t path_len);
/* Deletes every container and task in every namespace of that daemon, then stops it and releases the handle. A task that
 * can't be deleted in twenty seconds is killed with its shim. What is in state/bundles is removed. */
int64_t pyctd_engine_stop(pyctd_handle queue, int64_t timeout_ns, pyctd_handle engine);
/* Likewise, and then removes its root, its state, or both, with all in them: what is mounted there is unmounted, no link is
 * followed and no mount crossed. */
int64_t pyctd_engine_discard(pyctd_handle queue, int64_t timeout_ns, pyctd_handle engine, int32_t root, int32_t state);

/* CFFI: end */

#ifdef __cplusplus
}
#endif

#endif
