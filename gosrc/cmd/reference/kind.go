package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	cerrdefs "github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// panicked is what a step's panic becomes.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprint(p.value) }

// kindOf classifies an error as a Go user does: by errdefs, and by the code where gRPC's error came as it is.
func kindOf(err error) string {
	for _, k := range []struct {
		name string
		is   func(error) bool
	}{
		{"panic", func(err error) bool { return errors.As(err, new(panicked)) }},
		{"not_found", cerrdefs.IsNotFound},
		{"conflict", cerrdefs.IsConflict},
		{"already_exists", cerrdefs.IsAlreadyExists},
		{"invalid_argument", cerrdefs.IsInvalidArgument},
		{"failed_precondition", cerrdefs.IsFailedPrecondition},
		{"permission_denied", cerrdefs.IsPermissionDenied},
		{"permission_denied", func(err error) bool { return errors.Is(err, fs.ErrPermission) }},
		{"resource_exhausted", cerrdefs.IsResourceExhausted},
		{"unavailable", cerrdefs.IsUnavailable},
		{"unimplemented", cerrdefs.IsNotImplemented},
		{"deadline_exceeded", cerrdefs.IsDeadlineExceeded},
		{"deadline_exceeded", func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"canceled", cerrdefs.IsCanceled},
		{"canceled", func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"internal", cerrdefs.IsInternal},
	} {
		if k.is(err) {
			return k.name
		}
	}
	switch status.Code(err) {
	case codes.NotFound:
		return "not_found"
	case codes.AlreadyExists:
		return "already_exists"
	case codes.InvalidArgument:
		return "invalid_argument"
	case codes.FailedPrecondition:
		return "failed_precondition"
	case codes.PermissionDenied:
		return "permission_denied"
	case codes.ResourceExhausted:
		return "resource_exhausted"
	case codes.Unavailable:
		return "unavailable"
	case codes.Unimplemented:
		return "unimplemented"
	case codes.DeadlineExceeded:
		return "deadline_exceeded"
	case codes.Canceled:
		return "canceled"
	case codes.Internal:
		return "internal"
	}
	return "unknown"
}
