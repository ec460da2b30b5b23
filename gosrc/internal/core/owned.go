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

// ownDirectory makes an engine's directory if it is missing, and reports whether it is empty. It refuses what checkOwned
// refuses: the contents tell containerd, and so root, what to execute and remove.
func ownDirectory(what, path string, mode os.FileMode) (empty bool, err error) {
	if err := checkDirectory(what, path); err != nil {
		return false, err
	}
	path = filepath.Clean(path)
	missing := func(missing string) error {
		err := os.Mkdir(missing, mode)
		switch {
		case err == nil:
			return os.Chmod(missing, mode) // regardless of the umask
		case errors.Is(err, fs.ErrExist):
			return nil // another user may have made it first: the walk checks its owner next
		}
		return err
	}
	if err := walkOwned(what, path, missing); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(path)
	return len(entries) == 0, err
}

// checkOwned refuses a directory that another user owns, may write to, or could replace through a parent directory or a link.
// It accepts a missing one only if no other user could make it.
func checkOwned(what, path string) error {
	return walkOwned(what, filepath.Clean(path), func(missing string) error {
		if othersMayWrite(filepath.Dir(missing)) {
			return refused("the %s directory is not safe: other users may make %q", what, missing)
		}
		return nil
	})
}

// walkOwned is checkOwned, but passes what does not exist to missing, which may make it: everything above has been checked by
// then.
func walkOwned(what, path string, missing func(path string) error) error {
	owners := []int{0, os.Geteuid()}
	// In a user namespace, as under rootlesskit, unmapped owns whatever belongs to the host's root or any other unmapped user.
	// Where others may create files, as in /tmp, these may be theirs.
	unmapped := -1
	if ids, err := os.ReadFile("/proc/self/uid_map"); err == nil && !slices.Equal(strings.Fields(string(ids)), []string{"0", "0", "4294967295"}) {
		unmapped = 65534
	}
	shared := false // whether others may write to the directory
	const separator = string(filepath.Separator)
	directory := separator // free of links, so that Join resolves ".." to its parent
	left := 40             // links left to follow; the kernel's limit
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
		if err != nil { // such as in a user's FUSE mount, which that user can unmount at any moment
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

// othersMayWrite reports whether anyone but the owner and root's group may create files in a directory, if it exists.
func othersMayWrite(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o022 == 0 {
		return false
	}
	// With an access control list, the group bits are the upper bound for every group and every listed user.
	_, err = unix.Getxattr(path, "system.posix_acl_access", nil)
	return info.Mode().Perm()&0o002 != 0 || info.Sys().(*syscall.Stat_t).Gid != 0 || err == nil
}
