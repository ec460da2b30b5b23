package core

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// removable is a directory with something in it, beside one that is precious.
func removable(t *testing.T) (directory, precious string) {
	t.Helper()
	above := t.TempDir()
	directory, precious = filepath.Join(above, "tree"), filepath.Join(above, "precious")
	write(t, filepath.Join(directory, "a", "b", "file"))
	write(t, filepath.Join(directory, "a", "c", "file"))
	write(t, filepath.Join(directory, ".removed-1")) // as if it were one of the names that directories are moved to
	write(t, filepath.Join(precious, "file"))
	return directory, precious
}

func TestATreeIsRemovedAndItsLinksAreNotFollowed(t *testing.T) {
	directory, precious := removable(t)
	for _, name := range []string{"link", "a/b/link"} {
		if err := os.Symlink(precious, filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeTree(directory); err != nil || exists(directory) || !exists(precious+"/file") {
		t.Fatal(err)
	}
	if err := removeTree(directory); err != nil {
		t.Fatalf("it is gone already: %v", err)
	}
	if err := os.Symlink(precious, directory); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(directory); err == nil || !exists(precious+"/file") {
		t.Fatalf("a link in its place: %v", err)
	}
}

func TestATreeIsRemovedHoweverDeepItIs(t *testing.T) {
	directory, _ := removable(t)
	t.Chdir(directory)
	for range 5000 {
		if err := os.Mkdir("d", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chdir("d"); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Chdir("/"); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(directory); err != nil || exists(directory) {
		t.Fatal(err)
	}
}

func bindMount(t *testing.T, source, target string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

func TestWhatIsMountedInATreeIsUnmountedAndKept(t *testing.T) {
	directory, precious := removable(t)
	if err := os.Mkdir(filepath.Join(precious, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`a/with blank and \ and new` + "\nline", "a/twice", "a/twice", "a/outer", "a/outer/below"} {
		bindMount(t, precious, filepath.Join(directory, name))
	}
	if err := removeTree(directory); err != nil || exists(directory) || !exists(precious+"/file") || !exists(precious+"/below") {
		t.Fatal(err)
	}
}

// As a program does to prepare a root with the host's /dev in it, on a host whose mounts are shared, as systemd makes them.
func TestWhatIsMountedElsewhereTooStaysMountedThere(t *testing.T) {
	if os.Getenv("SHARED") == "" {
		cmd := exec.Command("unshare", "--mount", "--propagation", "shared", os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "SHARED=1")
		if out, err := cmd.CombinedOutput(); err != nil && os.Geteuid() == 0 {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	directory, precious := removable(t)
	below := filepath.Join(precious, "below")
	bindMount(t, precious, precious)
	bindMount(t, precious, below)
	bindMount(t, precious, filepath.Join(below, "below"))
	target := filepath.Join(directory, "a", "mounted")
	if err := errors.Join(os.Mkdir(target, 0o755), unix.Mount(precious, target, "", unix.MS_BIND|unix.MS_REC, "")); err != nil {
		t.Fatal(err)
	}
	if err := removeTree(directory); err != nil || exists(directory) {
		t.Fatal(err)
	}
	if !exists(filepath.Join(below, "below", "file")) {
		t.Fatal("unmounted elsewhere")
	}
}

func TestWhatCanNotBeUnmountedIsKept(t *testing.T) {
	directory, precious := removable(t)
	bindMount(t, precious, filepath.Join(directory, "a", "mounted"))
	dir, err := os.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	// As if it had been mounted after the look for mounts.
	err = emptyDirectory(int(dir.Fd()))
	if err == nil || !exists(precious+"/file") || !exists(directory+"/a/mounted/file") || exists(directory+"/a/b") {
		t.Fatal(err)
	}
}

func TestOnlyAnOwnTreeIsRemovedFromWhereOthersMayWrite(t *testing.T) {
	directory, _ := removable(t)
	if err := os.Chown(directory, 65534, 65534); err != nil {
		t.Skip(err)
	}
	if err := removeOwnTree(directory); kind.Of(err) != kind.FailedPrecondition || !exists(directory+"/a") {
		t.Fatal(err)
	}
	if err := os.Chown(directory, os.Geteuid(), -1); err != nil {
		t.Fatal(err)
	}
	if err := removeOwnTree(directory); err != nil || exists(directory) {
		t.Fatal(err)
	}
}

func TestWhomAProcessBelongsTo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' processes need root")
	}
	for name, want := range map[string]bool{
		"sleep 600": true,
		"setpriv --reuid 65534 --clear-groups sleep 600": false,
		"setpriv --ruid 65534 sleep 600":                 false,
		"setpriv --euid 65534 sleep 600":                 false,
		"unshare --pid --fork sleep 600":                 true,
		"unshare --mount sleep 600":                      false,
		"unshare --user --map-root-user sleep 600":       false,
	} {
		args, executes := strings.Fields(name), "sleep"
		if strings.Contains(name, "--fork") {
			executes = "unshare" // and its child is the one in there
		}
		cmd := exec.Command(args[0], args[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p, err := openPeer(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && (want != p.trusted() || !strings.HasSuffix(p.program(), "/"+executes)); {
			time.Sleep(time.Millisecond) // until it has come so far
		}
		if got := p.trusted(); got != want {
			t.Errorf("%s: %t", name, got)
		}
		if err := p.signal(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		if !p.gone(0) || p.trusted() || p.program() != "" || p.signal(unix.SIGKILL) == nil {
			t.Errorf("%s: it has ended, and yet there is something to see or to signal", name)
		}
		p.close()
	}
}

// As this process does where it is the first of a container, or a subreaper.
func TestAnotherUsersProcessThatWasAdoptedIsNoneOfTheEngines(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' processes need root")
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	e := &Engine{state: t.TempDir()}
	out, err := exec.Command("setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c",
		"sh -c 'while :; do sleep 600; done' --config "+e.state+"/containerd.toml >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}()
	p, err := openPeer(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.parent() != os.Getpid() || !e.configures(p) {
		t.Fatal("it does not look like the engine's daemon")
	}
	if err := e.endChildren(); err != nil {
		t.Fatal(err)
	}
	if p.ended(0) {
		t.Fatal("it was killed")
	}
}

func TestTheShimIsFoundWhereContainerdFindsIt(t *testing.T) {
	place := t.TempDir()
	containerd := filepath.Join(place, "real", "containerd")
	write(t, containerd)
	if err := os.Symlink(containerd, filepath.Join(place, "containerd")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(place)
	write(t, shimName)
	if err := os.Chmod(shimName, 0o755); err != nil {
		t.Fatal(err)
	}
	path := ":.:" + filepath.Join(place, "1") + ":" + filepath.Join(place, "2")
	if found := findShim(path, filepath.Join(place, "containerd")); found != "" {
		t.Fatal(found) // in the current directory
	}
	for _, name := range []string{"real", "2", "1"} {
		at := filepath.Join(place, name, shimName)
		write(t, at)
		if found := findShim(path, filepath.Join(place, "containerd")); found == at {
			t.Fatalf("%s can't be executed", at)
		}
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if found := findShim(path, filepath.Join(place, "containerd")); found != at {
			t.Fatalf("%q and not %q", found, at)
		}
	}
}

func TestTheLauncherKeepsWordsWhole(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	program := filepath.Join(t.TempDir(), "it's $HOME; a\nname")
	write(t, program)
	if err := os.WriteFile(program, []byte("#!/bin/sh\npwd; echo \"$PATH\" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	launcher, err := newLauncher(program, "/a b:/c'd", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	out, err := exec.Command("/proc/"+strconv.Itoa(os.Getpid())+"/fd/"+strconv.Itoa(int(launcher.Fd())), "--config", "x y").CombinedOutput()
	if err != nil || string(out) != "/\n/a b:/c'd --config x y\n" {
		t.Fatalf("%q %v", out, err)
	}
}
