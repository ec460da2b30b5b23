package core

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A directory to be removed may contain what containers have made: links that lead elsewhere, mounts, and trees deeper than
// there are descriptors. So it is emptied through descriptors alone, and never recursively.

// removeTree removes a directory with its contents, and unmounts what is mounted there. It follows no link below path, and
// leaves what it can't unmount. A missing path is fine.
func removeTree(path string) error { return removeTreeIf(path, anybodys) }

// removeOwnTree is removeTree for a directory inside one that others may write to, such as /tmp: what was made there may have
// gone since, and another user may have put something in its place.
func removeOwnTree(path string) error {
	return removeTreeIf(path, func(info *unix.Stat_t) error {
		if int(info.Uid) != os.Geteuid() {
			return refused("%q belongs to user %d", path, info.Uid)
		}
		return nil
	})
}

func anybodys(*unix.Stat_t) error { return nil }

func removeTreeIf(path string, check func(*unix.Stat_t) error) error {
	err := emptyTree(path, check)
	if err == nil {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// emptyTree removes a directory's contents but not the directory itself.
func emptyTree(path string, check func(*unix.Stat_t) error) error {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(dir)
	var info unix.Stat_t
	if err := errors.Join(unix.Fstat(dir, &info), check(&info)); err != nil {
		return err
	}
	unmountBelow(dir)
	if err := emptyDirectory(dir); err != nil {
		return fmt.Errorf("failed to empty %q: %w", path, err)
	}
	return nil
}

// removeFrom removes a path below an engine's directory, or the whole directory, unless it has become another user's.
func removeFrom(what, directory, below string) error {
	return ifOwned(what, directory, func() error { return removeTree(filepath.Join(directory, below)) })
}

// emptyFrom empties an engine's directory under the same condition.
func emptyFrom(what, directory string) error {
	return ifOwned(what, directory, func() error { return emptyTree(directory, anybodys) })
}

func ifOwned(what, directory string, work func() error) error {
	if err := checkOwned(what, directory); err != nil {
		return err
	}
	return work()
}

// emptyDirectory removes everything from a directory except mounts. A non-empty subdirectory's own directories are lifted into
// it and emptied in turn.
func emptyDirectory(top int) (failed error) {
	moved := 0
	seen := map[string]bool{} // a directory that keeps being refilled must not keep this going forever
	for again := true; again; {
		again = false
		entries, err := namesIn(top)
		if err != nil {
			return errors.Join(failed, err)
		}
		for _, name := range entries {
			if err := unlink(top, name); err == nil || seen[name] {
				continue
			} else if seen[name] = true; !errors.Is(err, unix.ENOTEMPTY) {
				failed = errors.Join(failed, fmt.Errorf("%q stays: %w", name, err))
			} else if err := liftFrom(top, name, &moved); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%q stays: %w", name, err))
			} else {
				again = true
			}
		}
	}
	return failed
}

// liftFrom empties one directory of top's, and moves the non-empty directories in it to top.
func liftFrom(top int, name string, moved *int) (failed error) {
	dir, err := unix.Openat(top, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if own, other := mountOf(top), mountOf(dir); own == "" || own != other {
		return unix.EXDEV
	}
	entries, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		err := unlink(dir, entry)
		for errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) {
			*moved++
			err = unix.Renameat(dir, entry, top, ".removed-"+strconv.Itoa(*moved))
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%q: %w", entry, err))
		}
	}
	return failed
}

// unlink removes a file or an empty directory; a non-empty one gives ENOTEMPTY.
func unlink(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// namesIn lists a directory from its beginning.
func namesIn(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), ".")
	defer file.Close()
	return file.Readdirnames(-1)
}

// mountOf is the number of the mount that an open file is on. The device would not do: a bind mount shares it with its source.
func mountOf(fd int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(number)
		}
	}
	return ""
}

// unmountBelow unmounts what is mounted below a directory, with the mounts on it. A mount that is shared with another place,
// such as /dev when a program has bind-mounted it here with all below, stays mounted there.
func unmountBelow(dir int) {
	above := readLink(unix.AT_FDCWD, descriptor(dir)) + "/"
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return
	}
	defer file.Close()
	var found []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			if below, ok := strings.CutPrefix(unescape(fields[4]), above); ok {
				found = append(found, below)
			}
		}
	}
	for _, below := range found { // in the order in which they were mounted
		if at, err := openBelow(dir, below); err == nil {
			mounted := descriptor(at)
			_ = unix.Mount("", mounted, "", unix.MS_PRIVATE|unix.MS_REC, "")
			_ = unix.Unmount(mounted, unix.MNT_DETACH)
			_ = unix.Close(at)
		}
	}
}

// openBelow opens a path below a directory for reference only, following no link.
func openBelow(dir int, path string) (int, error) {
	at, err := unix.Openat(dir, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for name := range strings.SplitSeq(path, string(filepath.Separator)) {
		if err != nil {
			break
		}
		before := at
		at, err = unix.Openat(before, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		_ = unix.Close(before)
	}
	return at, err
}

var octal = regexp.MustCompile(`\\[0-7]{3}`)

// unescape decodes the kernel's escapes of blanks and backslashes in mountinfo.
func unescape(text string) string {
	return octal.ReplaceAllStringFunc(text, func(code string) string {
		number, _ := strconv.ParseUint(code[1:], 8, 8)
		return string([]byte{byte(number)})
	})
}
