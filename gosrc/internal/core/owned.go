package core

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownDirectory makes a directory of an engine's, if there is none, and says whether there is nothing in it. It refuses one
// that checkOwned refuses: what is there tells containerd, and so root, what to execute and to remove.
func ownDirectory(what, path string, mode os.FileMode) (empty bool, err error) {
	if err := checkDirectory(what, path); err != nil {
		return false, err
	}
	path = filepath.Clean(path)
	missing := func(missing string) error {
		err := os.Mkdir(missing, mode)
		switch {
		case err == nil:
			return os.Chmod(missing, mode) // whatever the umask is
		case errors.Is(err, fs.ErrExist):
			return nil // another user may have made it first: its owner is checked next
		}
		return err
	}
	if err := walkOwned(what, path, missing); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(path)
	return len(entries) == 0, err
}

// checkOwned refuses a directory that another user owns, or may write to, or could replace in one above or by a link. One
// that does not exist is to be made later, by this user or by nobody.
func checkOwned(what, path string) error {
	return walkOwned(what, filepath.Clean(path), func(missing string) error {
		if othersMayWrite(filepath.Dir(missing)) {
			return refused("the %s directory is not safe: other users may make %q", what, missing)
		}
		return nil
	})
}

// walkOwned is checkOwned, but what does not exist is given to missing, which may make it: all above has been checked by then.
func walkOwned(what, path string, missing func(path string) error) error {
	owners := []int{0, os.Geteuid()}
	// In a user namespace, as under rootlesskit, this is the owner of what belongs to the root user of the host, or to any
	// other user. Where others may make something, as in /tmp, it may be theirs.
	unmapped := -1
	if ids, err := os.ReadFile("/proc/self/uid_map"); err == nil && !slices.Equal(strings.Fields(string(ids)), []string{"0", "0", "4294967295"}) {
		unmapped = 65534
	}
	shared := false // whether others may write to the directory
	const separator = string(filepath.Separator)
	directory := separator // has no link in it, so that Join gives its parent for ".."
	left := 40             // links, as many as the kernel follows
	for names := strings.Split(path, separator); len(names) > 0; {
		path := filepath.Join(directory, names[0])
		names = names[1:]
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err := missing(path); err != nil {
				return err
			}
			info, err = os.Lstat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			directory = path
			continue
		}
		if err != nil { // as of a user's FUSE mount, who can unmount it at any moment
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		if owner := int(stat.Uid); !slices.Contains(owners, owner) && (owner != unmapped || shared) {
			return refused("the %s directory is not safe: %q belongs to user %d", what, path, stat.Uid)
		}
		if info.Mode().Type() == os.ModeSymlink {
			if left--; left < 0 {
				return unix.ELOOP
			}
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if filepath.IsAbs(target) {
				directory, shared = separator, false
			}
			names = slices.Concat(strings.Split(target, separator), names)
			continue
		}
		shared = othersMayWrite(path)
		if info.Mode()&os.ModeSticky == 0 && shared {
			return refused("the %s directory is not safe: other users may write to %q", what, path)
		}
		directory = path
	}
	if othersMayWrite(directory) {
		return refused("the %s directory is not safe: other users may write to %q", what, directory)
	}
	return nil
}

// othersMayWrite says whether others than the owner and root's group may make something in a directory, if it exists.
func othersMayWrite(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o022 == 0 {
		return false
	}
	// With an access control list the bits of the group are the most that any group, and any user in the list, may do.
	_, err = unix.Getxattr(path, "system.posix_acl_access", nil)
	return info.Mode().Perm()&0o002 != 0 || info.Sys().(*syscall.Stat_t).Gid != 0 || err == nil
}
