package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"syscall"

	apievents "github.com/containerd/containerd/api/events"
)

// request is one line of what serve reads.
type request struct {
	Do        string `json:"do"`
	Address   string `json:"address"`
	Dir       string `json:"dir"`
	Namespace string `json:"namespace"`
}

// serve does for another side of the conformance tests what is no part of what they compare: it looks at the disk and
// the daemon, publishes the events that a side waits for to know that its events flow, and keeps daemons to be harmed.
// It answers each line with a line; it is the same code that this program's own run uses, so that a difference is of the
// subject and never of the observer.
func serve(in io.Reader, out io.Writer) {
	printer := newPrinter(out)
	daemons := map[string]*ownDaemon{}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			_ = printer.Encode(object{"error": err.Error()})
			continue
		}
		p := place{Address: r.Address, Dir: r.Dir, Namespace: r.Namespace}
		if daemons[r.Dir] == nil {
			daemons[r.Dir] = &ownDaemon{dir: r.Dir}
		}
		answer, err := p.serve(r.Do, daemons[r.Dir])
		if err != nil {
			answer = object{"error": err.Error()}
		}
		_ = printer.Encode(answer)
	}
	for _, d := range daemons {
		_ = d.signal(syscall.SIGKILL)
	}
}

func (p place) serve(do string, d *ownDaemon) (object, error) {
	switch do {
	case "brief":
		return p.brief(d), nil
	case "full":
		return p.full(), nil
	case "clear":
		return object{}, p.clear()
	case "probe":
		return object{}, p.publish(context.Background())
	}
	return object{}, daemonDo(d, do)
}

// daemonDo harms a daemon, or heals it.
func daemonDo(d *ownDaemon, do string) error {
	switch do {
	case "daemon_start":
		return d.start()
	case "daemon_kill":
		return d.signal(syscall.SIGKILL)
	case "daemon_freeze":
		return d.signal(syscall.SIGSTOP)
	case "daemon_thaw":
		return d.signal(syscall.SIGCONT)
	case "daemon_heal":
		if d.cmd == nil {
			return d.start()
		}
		return d.signal(syscall.SIGCONT)
	}
	return fmt.Errorf("there is no %q", do)
}

// publish sends the event that shows that events flow.
func (p place) publish(ctx context.Context) error {
	o, err := p.observe()
	if err != nil {
		return err
	}
	defer o.close()
	return o.EventService().Publish(ctx, "/tasks/oom", &apievents.TaskOOM{ContainerID: probeID})
}
