package core

import "github.com/pyctd/pyctd/gosrc/internal/handle"

// The streams of a process end with its Delete. Nothing deletes an exec that is still there when its task is deleted, nor a
// task that was deleted through another object: its streams are orphans. In Go they would be garbage once nobody refers to
// them, and so they are here: the other side is told to forget them, and the release of their handle closes them.

// streamsOf returns the streams of a container's processes, which are orphans once its task has been deleted. Those of a
// process that is being made are not among them: it may be the next task's.
func (cl *Client) streamsOf(container string) (streams []*stdio) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for s := range cl.streams {
		if s.owner == container && s.made {
			streams = append(streams, s)
		}
	}
	return streams
}

// orphan leaves streams to the other side's garbage collector.
func orphan(streams []*stdio) {
	for _, s := range streams {
		if s.closed.Load() {
			continue // they ended with their process
		}
		s.orphaned.Store(true)
		s.call(IOForget)
		if _, err := handle.Get[*stdio](&s.client.core.handles, s.handle); err != nil {
			s.close() // it was released before
		}
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
