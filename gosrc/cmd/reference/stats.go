package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/typeurl/v2"
)

// stats prints which metrics there are, and the values of those that a scenario fixes.
func (r *runner) stats(ctx context.Context, a arguments) (any, error) {
	task, err := r.taskOf(a.Of)
	if err != nil {
		return nil, err
	}
	stats, err := task.Stats(ctx)
	if err != nil {
		return nil, err
	}
	kind, err := typeurl.TypeURL(stats.Metrics)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(stats.Metrics)
	if err != nil {
		return nil, err
	}
	var metrics map[string]any
	if err := json.Unmarshal(data, &metrics); err != nil {
		return nil, err
	}
	fields, present := object{}, object{}
	for _, path := range a.Fields {
		fields[path] = at(metrics, path)
	}
	for _, path := range a.Present {
		present[path] = at(metrics, path) != nil
	}
	return object{
		"type": kind, "read": timeOf(stats.Read), "families": slices.Sorted(maps.Keys(metrics)), "fields": fields, "present": present,
	}, nil
}

// at is what lies at a path of names with dots between.
func at(value any, path string) any {
	for _, name := range strings.Split(path, ".") {
		inner, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = inner[name]
	}
	return value
}
