package core

import (
	"context"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
)

// The streams of a process end with its Delete. Nothing deletes an exec that is still there when its task is deleted, nor a
// task that was deleted through another object: its streams are orphans. In Go they would be garbage once nobody refers to
// them, and so they are here: the other side is told to forget them, and the release of their handle closes them.

// deleting notes which streams the processes of a container have. The caller calls what it returns once the container's task
// is deleted: they are orphans then. A process that is made meanwhile may be that task's or the next one's, which containerd
// knows.
func (cl *Client) deleting(container string) (deleted func()) {
	before := cl.streamsOf(container)
	return func() {
		for _, s := range before {
			s.orphan()
		}
		cl.suspect(container)
		for _, s := range cl.streamsOf(container) {
			if !s.orphaned.Load() {
				s.orphanIfGone()
			}
		}
	}
}

// suspect has containerd asked about processes that are made yet.
func (cl *Client) suspect(container string) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for s := range cl.streams {
		s.suspect = s.suspect || s.owner == container
	}
}

// streamsOf returns the streams of a container's processes that are made.
func (cl *Client) streamsOf(container string) (streams []*stdio) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for s := range cl.streams {
		if s.owner == container && s.process != nil {
			streams = append(streams, s)
		}
	}
	return streams
}

// isOf says whose streams they are. Those of a client that was closed meanwhile are let go of now.
func (s *stdio) isOf(process embedded) {
	s.client.mu.Lock()
	s.process = process
	suspect, closed := s.suspect, s.client.closed
	s.client.mu.Unlock()
	if closed {
		s.detach()
	} else if suspect {
		s.orphanIfGone()
	}
}

// orphanIfGone asks containerd in the background whether it has the process still.
func (s *stdio) orphanIfGone() {
	s.client.use(func() {
		ctx, cancel := context.WithTimeout(s.client.ctx, undoTimeout)
		defer cancel()
		if _, err := s.process.Status(ctx); cerrdefs.IsNotFound(err) {
			s.orphan()
		}
	})
}

// orphan leaves streams to the other side's garbage collector, unless they ended with their process.
func (s *stdio) orphan() {
	if s.closed.Load() {
		return
	}
	s.orphaned.Store(true)
	s.call(IOForget)
	if _, err := handle.Get[*stdio](&s.client.core.handles, s.handle); err != nil {
		s.close() // it was released before
	}
}

// close is what releasing the handle does: nothing, unless the streams have no process any more. The FIFOs stay for the
// bundle's end, for by then their names may be the next task's.
func (s *stdio) close() {
	if s.orphaned.Load() {
		s.forget()
		s.spare.release()
		_ = s.end(func() error { letGo(s.dio); return nil })
	}
}
