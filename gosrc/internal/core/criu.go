package core

import (
	"bufio"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A criuError is a checkpoint's or restore's error with the reason from CRIU's own log. Its text is that of the error.
type criuError struct {
	error
	reason string
}

func (e *criuError) Unwrap() error { return e.error }

// Detail is what the completion carries beside the error's text.
func (e *criuError) Detail() string { return e.reason }

// criuLog finds the log's path in the shim's error: its copy of a dump's log, or what runc prints about a restore's.
var criuLog = regexp.MustCompile(`(?m)(?:path= |log file: )(/.*/(?:criu-dump|dump|restore)\.log)(?:: unknown)?$`)

// criuMessage matches an error line of CRIU's log, without its time stamp and process id.
var criuMessage = regexp.MustCompile(`^(?:\([0-9.]+\)\s*)?(?:[0-9]+:\s*)?(Error \(.*)$`)

// criuMissing is runc's message when there is no CRIU.
const criuMissing = `exec: "criu": executable file not found`

const maxCriuLines = 20

// maxCriuLog limits how much of a log is read: a container's own root may contain a sparse file of any size by that name.
const maxCriuLog = 16 << 20

// withCriuReason adds CRIU's reason to the error of a checkpoint or a restore that began at the given time, if it can read the
// log. The log is on the daemon's machine, belongs to root, and is gone once the task is deleted.
func withCriuReason(err error, begun time.Time) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if strings.Contains(text, criuMissing) {
		return &criuError{err, "there is no criu on containerd's PATH: install CRIU there, version 4 or later for Linux 6"}
	}
	found := criuLog.FindStringSubmatch(text)
	if found == nil {
		return err
	}
	if reason := readCriuLog(found[1], begun); reason != "" {
		return &criuError{err, reason}
	}
	return err
}

// readCriuLog returns the errors in a log, or its last lines if it has none.
func readCriuLog(path string, begun time.Time) string {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ""
	}
	defer file.Close()
	// A CRIU that fails before it logs leaves an earlier checkpoint's log in place.
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(begun) {
		return ""
	}
	// The path comes from text about the container, which the container may have influenced. The real log is root's.
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != 0 && owner != os.Geteuid() {
		return ""
	}
	_, _ = file.Seek(max(0, info.Size()-maxCriuLog), io.SeekStart)
	var messages, last []string
	for lines := bufio.NewReader(io.LimitReader(file, maxCriuLog)); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			last = append(last[max(0, len(last)-maxCriuLines+1):], line)
			if m := criuMessage.FindStringSubmatch(line); m != nil && !slices.Contains(messages, m[1]) && len(messages) < maxCriuLines {
				messages = append(messages, m[1])
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return ""
		}
	}
	if len(messages) == 0 {
		messages = last
	}
	return strings.Join(messages, "\n")
}
