package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// A scenario is a list of steps; docs/conformance.md describes them.
type scenario struct {
	Name  string `json:"-"`
	About string `json:"about"`
	// Daemon "own" gives the scenario a containerd of its own, to be harmed.
	Daemon string `json:"daemon"`
	// Order "process" prints a container's events by process: for steps that run at the same time.
	Order   string            `json:"order"`
	Steps   []json.RawMessage `json:"steps"`
	Differs json.RawMessage   `json:"differs"`
}

// A step is one operation and its arguments: in YAML a word, or a mapping of the word to its arguments.
type step struct {
	do   string
	args arguments
}

// arguments has those of all steps; most steps take few.
type arguments struct {
	Of string `json:"of"` // the container or process; "c" unless given
	As string `json:"as"` // the name for what is made; the id unless given
	ID string `json:"id"`

	Args           []string                     `json:"args"`
	Env            []string                     `json:"env"`
	Terminal       bool                         `json:"terminal"`
	Spec           json.RawMessage              `json:"spec"` // merged into the base spec, or into a process of it
	Shim           string                       `json:"shim"`
	RuntimeOptions json.RawMessage              `json:"runtime_options"`
	Opts           []map[string]json.RawMessage `json:"opts"`

	Stdin      bool   `json:"stdin"`
	Stdio      string `json:"stdio"` // read (the default), unread, none or refuse
	Checkpoint string `json:"checkpoint"`
	Exit       bool   `json:"exit"`
	Signal     int    `json:"signal"`
	Width      uint32 `json:"width"`
	Height     uint32 `json:"height"`

	Resources json.RawMessage   `json:"resources"`
	Fields    []string          `json:"fields"` // of stats: printed with their values
	Present   []string          `json:"present"`
	Until     json.RawMessage   `json:"until"` // event types, or a text to be read
	Stream    string            `json:"stream"`
	Data      string            `json:"data"`
	Times     int               `json:"times"`
	Steps     []json.RawMessage `json:"steps"`
	Path      string            `json:"path"`
	Mode      string            `json:"mode"`

	Timeout     *float64        `json:"timeout"`      // seconds, the call's deadline
	CancelAfter *float64        `json:"cancel_after"` // seconds, then the call is cancelled
	Background  string          `json:"background"`   // a name to join by
	Expect      json.RawMessage `json:"expect"`       // read by the comparison alone, like Differs
	Differs     json.RawMessage `json:"differs"`
	Races       json.RawMessage `json:"races"`
}

var repeated = regexp.MustCompile(`\$\{repeat (\S+) (\d+)\}`)

// expand puts values where a scenario has ${name}, and a text many times where it has ${repeat TEXT TIMES}.
func expand(text string, values map[string]string) string {
	text = repeated.ReplaceAllStringFunc(text, func(match string) string {
		parts := repeated.FindStringSubmatch(match)
		times, _ := strconv.Atoi(parts[2])
		return strings.Repeat(parts[1], times)
	})
	for name, value := range values {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

// parse reads a step, with its values put in.
func parse(raw json.RawMessage, values map[string]string) (step, error) {
	data := []byte(expand(string(raw), values))
	s := step{args: arguments{Of: "c"}}
	if err := json.Unmarshal(data, &s.do); err == nil {
		return s, nil
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(data, &named); err != nil || len(named) != 1 {
		return s, fmt.Errorf("a step is a word or a mapping of one word to its arguments, not %s", data)
	}
	for s.do = range named {
		strict := json.NewDecoder(bytes.NewReader(named[s.do]))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&s.args); err != nil {
			return s, fmt.Errorf("step %s: %w", s.do, err)
		}
	}
	return s, nil
}

// load reads a file of scenarios, in the order of their names.
func load(file string) ([]scenario, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var byName map[string]json.RawMessage
	if err := yaml.UnmarshalStrict(data, &byName); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var scenarios []scenario
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := scenario{Name: name}
		if err := json.Unmarshal(byName[name], &s); err != nil {
			return nil, fmt.Errorf("%s::%s: %w", file, name, err)
		}
		scenarios = append(scenarios, s)
	}
	return scenarios, nil
}

// merge is RFC 7386's merge patch: objects are merged, null removes, anything else replaces.
func merge(into, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged := map[string]any{}
	if old, ok := into.(map[string]any); ok {
		for name, value := range old {
			merged[name] = value
		}
	}
	for name, change := range changes {
		if change == nil {
			delete(merged, name)
		} else {
			merged[name] = merge(merged[name], change)
		}
	}
	return merged
}
