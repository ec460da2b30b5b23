// Command publish has a daemon send task events as fast as it can: what the tests load pyctd's events with. The events
// are containerd's own and come by its event service; only the containers that they tell of do not exist.
//
// Usage:
//
//	publish -address SOCKET -namespace NAME [-containers N]
//
// It reads numbers from stdin, one a line, publishes as many events for each, and prints the number when the daemon has
// taken them all.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/containerd/containerd/api/events"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// publishers is how many events are under way at once.
const publishers = 16

func main() {
	address := flag.String("address", "", "containerd's socket")
	namespace := flag.String("namespace", "", "the namespace of the events")
	containers := flag.Int64("containers", 32, "how many containers they tell of")
	flag.Parse()
	daemon, err := containerd.New(*address)
	if err != nil {
		log.Fatal(err)
	}
	defer daemon.Close()
	ctx := namespaces.WithNamespace(context.Background(), *namespace)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		count, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		if err := publish(ctx, daemon.EventService(), count, *containers); err != nil {
			log.Fatal(err)
		}
		fmt.Println(count)
	}
}

func publish(ctx context.Context, service containerd.EventService, count, containers int64) error {
	var last atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, publishers)
	for range publishers {
		group.Go(func() {
			for n := last.Add(1); n <= count; n = last.Add(1) {
				topic, event := task(fmt.Sprintf("none-%d", n%containers), n)
				if err := service.Publish(ctx, topic, event); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}

// task is a task's event, of one kind and another by turns.
func task(id string, n int64) (string, any) {
	switch n % 4 {
	case 0:
		return "/tasks/paused", &events.TaskPaused{ContainerID: id}
	case 1:
		return "/tasks/resumed", &events.TaskResumed{ContainerID: id}
	case 2:
		return "/tasks/oom", &events.TaskOOM{ContainerID: id}
	default:
		return "/tasks/exit", &events.TaskExit{ContainerID: id, ID: id, Pid: 1, ExitStatus: 137}
	}
}
