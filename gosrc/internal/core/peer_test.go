package core

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onAThread has a thread of its own do something to itself, and looks at it as a peer meanwhile.
func onAThread(t *testing.T, change func() error, look func(peer)) {
	t.Helper()
	changed, looked := make(chan int), make(chan struct{})
	defer close(looked)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its goroutine
		if err := change(); err != nil {
			t.Error(err)
		}
		changed <- unix.Gettid()
		<-looked
	}()
	p, err := openPeer(<-changed)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	look(p)
}

// As a program that has given up its privileges for a while: what it may be made to do is another user's choice.
func TestAProcessIsTrustedOnlyIfItIsThisUsersInEveryRespect(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user's process needs root")
	}
	const same = ^uintptr(0)
	for name, ids := range map[string][3]uintptr{
		"real": {65534, same, same}, "effective": {same, 65534, same}, "saved": {same, same, 65534},
	} {
		become := func() error {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ids[0], ids[1], ids[2]); errno != 0 { // of this thread alone
				return errno
			}
			return nil
		}
		onAThread(t, become, func(p peer) {
			if p.trusted() {
				t.Errorf("it is trusted though its %s user is another", name)
			}
		})
	}
	onAThread(t, func() error { return nil }, func(p peer) {
		if !p.trusted() {
			t.Error("this program is not trusted")
		}
	})
}

func TestAProcessMayHaveAnyName(t *testing.T) {
	rename := func() error { return os.WriteFile("/proc/thread-self/comm", []byte("a) S 0 (b"), 0) }
	onAThread(t, rename, func(p peer) {
		if p.parent() != os.Getppid() {
			t.Errorf("its parent is %d, not %d", p.parent(), os.Getppid())
		}
	})
}

func TestAProcessThatNobodyHasWaitedForHasEndedButIsNotGone(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := openPeer(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.ended(0) || p.gone(0) {
		t.Error("it runs")
	}
	_ = in.Close()
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if !p.ended(0) || p.gone(0) {
		t.Error("it has ended, and nobody has waited for it")
	}
	_ = cmd.Wait()
	if !p.ended(0) || !p.gone(time.Minute) {
		t.Error("it is gone")
	}
}

func TestAProgramIsNotLookedForInARelativeDirectory(t *testing.T) {
	place := t.TempDir()
	t.Chdir(place)
	write(t, "bin/program")
	if err := os.Chmod("bin/program", 0o755); err != nil {
		t.Fatal(err)
	}
	if found, err := findProgram("program", []string{"", ".", "bin", "./bin"}); err == nil {
		t.Errorf("found %q", found)
	}
	if found, err := findProgram("program", []string{"bin", place + "/bin"}); err != nil || found != place+"/bin/program" {
		t.Errorf("found %q, %v", found, err)
	}
}
