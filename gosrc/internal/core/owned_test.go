package core

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyctd/pyctd/gosrc/internal/kind"
)

// grant lets one more user write to a directory of root's and its group, by an access control list.
func grant(directory string, user uint32) error {
	list := binary.LittleEndian.AppendUint32(nil, 2) // its version
	for _, entry := range []struct {
		tag, permissions uint16
		id               uint32
	}{{1, 7, ^uint32(0)}, {2, 7, user}, {4, 5, ^uint32(0)}, {16, 7, ^uint32(0)}, {32, 5, ^uint32(0)}} {
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.permissions)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	return unix.Setxattr(directory, "system.posix_acl_access", list, 0)
}

func TestADirectoryThatOthersCanWriteToIsNotSafe(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	const user = 65534
	for name, spoil := range map[string]func(string) error{
		"everybody":         func(path string) error { return os.Chmod(path, 0o777) },
		"everybody, sticky": func(path string) error { return os.Chmod(path, 0o777|os.ModeSticky) },
		"a group":           func(path string) error { return errors.Join(os.Chown(path, 0, user), os.Chmod(path, 0o775)) },
		"a group, sticky": func(path string) error {
			return errors.Join(os.Chown(path, 0, user), os.Chmod(path, 0o775|os.ModeSticky))
		},
		"a user":         func(path string) error { return grant(path, user) },
		"a user, sticky": func(path string) error { return errors.Join(os.Chmod(path, 0o755|os.ModeSticky), grant(path, user)) },
		"another user's": func(path string) error { return os.Chown(path, user, user) },
		"a link of another's": func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink("/", path), os.Lchown(path, user, user))
		},
		"a link to an unsafe one": func(path string) error { return errors.Join(os.Remove(path), os.Symlink(os.TempDir(), path)) },
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			for _, path := range []string{above, filepath.Join(above, "dir")} {
				path, err := filepath.Join(path, "dir"), os.Mkdir(filepath.Join(path, "dir"), 0o755)
				if err != nil {
					t.Fatal(err)
				}
				if err := checkOwned("state", path); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(above, "dir")
			if err := errors.Join(os.Remove(filepath.Join(path, "dir")), spoil(path)); errors.Is(err, unix.ENOTSUP) {
				t.Skip(err)
			} else if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{path, filepath.Join(path, "new")} {
				if err := checkOwned("state", path); kind.Of(err) != kind.FailedPrecondition {
					t.Errorf("%q: %v", path, err)
				}
			}
		})
	}
}

func TestADirectoryOfRootsGroupIsSafe(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o775); err != nil {
		t.Fatal(err)
	}
	if err := checkOwned("state", filepath.Join(path, "new")); err != nil && os.Getegid() == 0 {
		t.Fatal(err)
	}
}

func TestALinkIsFollowedAsTheKernelFollowsIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	above := t.TempDir()
	theirs := filepath.Join(above, "theirs")
	if err := errors.Join(os.MkdirAll(filepath.Join(theirs, "app"), 0o755), os.MkdirAll(filepath.Join(theirs, "state"), 0o755),
		os.Mkdir(filepath.Join(above, "state"), 0o755),
		os.Chown(filepath.Join(theirs, "state"), 65534, 65534),
		os.Symlink(filepath.Join(theirs, "app"), filepath.Join(above, "current")),
		os.Symlink("current/../state", filepath.Join(above, "link")),
		os.Symlink(filepath.Join(above, "current")+"/../state", filepath.Join(above, "abs")),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "abs"} {
		path := above + "/" + name
		real, _ := filepath.EvalSymlinks(path)
		if err := checkOwned("state", path); kind.Of(err) != kind.FailedPrecondition {
			t.Errorf("%s is %s: %v", name, real, err)
		}
	}
}

func TestNoDirectoryIsMadeInAnotherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	above := t.TempDir()
	elsewhere, theirs := filepath.Join(above, "elsewhere"), filepath.Join(above, "theirs")
	if err := errors.Join(os.Mkdir(elsewhere, 0o700), os.Mkdir(theirs, 0o755), os.Symlink(elsewhere, filepath.Join(theirs, "link")),
		os.Chown(theirs, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	_, err := ownDirectory("state", filepath.Join(theirs, "link", "a", "b"), 0o711)
	entries, _ := os.ReadDir(elsewhere)
	if len(entries) != 0 || err == nil {
		t.Errorf("made %v: %v", entries, err)
	}
}

// In a user namespace what belongs to a user who is not mapped looks as if it belonged to the host's root.
func TestADirectoryOfAnUnmappedUsersIsNotSafe(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("other users' directories need root")
	}
	if path := os.Getenv("PYCTD_TEST_DIRECTORY"); path != "" {
		if err := checkOwned("state", filepath.Join(path, "state")); kind.Of(err) != kind.FailedPrecondition {
			t.Errorf("%v", err)
		}
		if err := checkOwned("state", filepath.Join(path, "own", "state")); err != nil {
			t.Error(err)
		}
		return
	}
	shared := filepath.Join(t.TempDir(), "shared")
	theirs := filepath.Join(shared, "state")
	if err := errors.Join(os.MkdirAll(theirs, 0o755), os.Mkdir(filepath.Join(shared, "own"), 0o755), os.Chmod(shared, 0o777|os.ModeSticky),
		os.Chown(theirs, 1234, 1234), os.Chown(shared, 1235, 1235)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--user", "--map-root-user", os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "PYCTD_TEST_DIRECTORY="+shared)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestADirectoryThatRootMayNotLookAtIsNotSafe(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	place := filepath.Join(t.TempDir(), "dir")
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer device.Close()
	// What fusermount does for a user. It is his until he unmounts it: then what was there before is there again.
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=65534,group_id=65534", device.Fd())
	if err := errors.Join(os.Mkdir(place, 0o755), unix.Mount("fuse", place, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options)); err != nil {
		t.Skip(err)
	}
	defer func() { _ = unix.Unmount(place, unix.MNT_DETACH) }()
	for _, path := range []string{place, filepath.Join(place, "state")} {
		if err := checkOwned("state", path); err == nil {
			t.Errorf("%q is taken for safe", path)
		}
	}
}
