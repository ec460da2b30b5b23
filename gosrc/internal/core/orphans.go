package core

import (
	"context"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/pyctd/pyctd/gosrc/internal/handle"
)

// A process's Delete ends its streams. Nothing deletes an exec that still exists when its task is deleted, or a task that was
// deleted through another object: their streams are orphaned. In Go they would become garbage once unreferenced, and so they do
// here: the other side is told to forget them, and the release of their handle closes them.

// deleting notes the streams of a container's processes. Call the returned function once the container's task is deleted: the
// streams are orphaned then. A process made meanwhile may belong to that task or to the next; containerd knows which.
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

// suspect marks a container's streams, so that containerd is asked about processes that are still being made.
func (cl *Client) suspect(container string) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for s := range cl.streams {
		s.suspect = s.suspect || s.owner == container
	}
}

// streamsOf returns the streams of a container's existing processes.
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

// isOf sets the process of these streams. It detaches them if the client was closed meanwhile.
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

// orphanIfGone asks containerd in the background whether the process still exists.
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

// close releases the handle. It does nothing unless the streams are orphaned. The FIFOs stay until the bundle is removed, since
// their names may be the next task's by then.
func (s *stdio) close() {
	if s.orphaned.Load() {
		s.forget()
		s.spare.release()
		_ = s.end(func() error { letGo(s.dio); return nil })
	}
}
