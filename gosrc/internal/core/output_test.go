package core

import (
	"strings"
	"testing"
)

// When it is told to, containerd prints all its stacks in one line.
func TestALongLineOfContainerdsIsOneRecordThatIsCut(t *testing.T) {
	p := newPanicking()
	c := New(p, 4)
	defer c.records.close()
	c.containerd.carry(strings.NewReader(strings.Repeat("x", 3*longestLine+7) + "\nnext\n"))
	if first := within(t, p.records); len(first) != longestLine {
		t.Errorf("%d bytes are logged", len(first))
	}
	if second := within(t, p.records); second != "next" {
		t.Errorf("then %d bytes that are not the next line", len(second))
	}
	if last := c.containerd.last(); last != "next" {
		t.Errorf("the last line has %d bytes", len(last))
	}
}
