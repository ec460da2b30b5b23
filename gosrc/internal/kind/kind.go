// Package kind classifies errors in the terms of containerd's errdefs. Classes of errdefs without a kind of their own map to the
// closest one: NotModified to FailedPrecondition, as in containerd's gRPC mapping; Aborted to Conflict and OutOfRange to
// InvalidArgument, with which they share an HTTP status in gRPC's mapping; DataLoss to Internal, as in dockerd; and
// Unauthenticated to PermissionDenied.
package kind

import (
	"errors"
	"io/fs"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc/status"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
)

// Kind has the values of pyctd_kind in pyctd.h; a test compares them.
type Kind int32

const (
	OK Kind = iota
	Unknown
	InvalidArgument
	NotFound
	AlreadyExists
	PermissionDenied
	ResourceExhausted
	FailedPrecondition
	Conflict
	Unavailable
	DeadlineExceeded
	Canceled
	Unimplemented
	Internal
	Closed
	Callback
)

// ErrCallback is what libcontainerd gets from a stdio callback that failed on the other side of the boundary.
var ErrCallback = errors.New("stdio callback failed")

// ErrClosed is the error of an operation whose client was closed under it.
var ErrClosed = errors.New("client is closed")

// Of returns the kind of err. It reads a bare gRPC status as containerd's own client does.
func Of(err error) Kind {
	if err == nil {
		return OK
	}
	if k := of(err); k != Unknown {
		return k
	}
	if _, ok := status.FromError(err); ok {
		return of(errgrpc.ToNative(err))
	}
	return Unknown
}

func of(err error) Kind {
	var wrongType *handle.WrongTypeError
	switch {
	case errors.Is(err, handle.ErrClosed), errors.Is(err, ErrClosed):
		return Closed
	case errors.Is(err, ErrCallback):
		return Callback
	case errors.As(err, &wrongType), cerrdefs.IsInvalidArgument(err), cerrdefs.IsOutOfRange(err):
		return InvalidArgument
	case cerrdefs.IsConflict(err), cerrdefs.IsAborted(err):
		return Conflict
	case cerrdefs.IsNotFound(err):
		return NotFound
	case cerrdefs.IsAlreadyExists(err):
		return AlreadyExists
	case cerrdefs.IsFailedPrecondition(err), cerrdefs.IsNotModified(err):
		return FailedPrecondition
	case cerrdefs.IsPermissionDenied(err), cerrdefs.IsUnauthorized(err), errors.Is(err, fs.ErrPermission):
		return PermissionDenied
	case cerrdefs.IsResourceExhausted(err):
		return ResourceExhausted
	case cerrdefs.IsDeadlineExceeded(err):
		return DeadlineExceeded
	case cerrdefs.IsCanceled(err):
		return Canceled
	case cerrdefs.IsUnavailable(err):
		return Unavailable
	case cerrdefs.IsNotImplemented(err):
		return Unimplemented
	case cerrdefs.IsInternal(err), cerrdefs.IsDataLoss(err):
		return Internal
	}
	return Unknown
}
