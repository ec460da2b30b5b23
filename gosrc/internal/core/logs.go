package core

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// logHook hands log records to the other side instead of stderr. It only queues them, since a record may be written under any
// lock.
type logHook struct{ records *recordCarrier }

func (h logHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h logHook) Fire(entry *logrus.Entry) error {
	fields := make(map[string]any, len(entry.Data))
	for key, value := range entry.Data {
		switch v := value.(type) {
		case string, bool, int, int32, int64, uint32, uint64, float64:
			fields[key] = v
		default:
			fields[key] = fmt.Sprint(v)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	h.records.put(record{int32(entry.Level), entry.Message, string(text)})
	return nil
}

func (c *Core) routeLogs(level int32) {
	logger := log.L.Logger
	logger.SetOutput(io.Discard)
	_ = SetLogLevel(level)
	logger.ReplaceHooks(logrus.LevelHooks{})
	logger.AddHook(logHook{c.records})
}

// SetLogLevel sets which records are made: a record that nobody sees can cost more than a whole call.
func SetLogLevel(level int32) error {
	if level < int32(logrus.PanicLevel) || level > int32(logrus.TraceLevel) {
		return invalid(fmt.Errorf("log level must be from 0 to 6, not %d", level))
	}
	log.L.Logger.SetLevel(logrus.Level(level))
	return nil
}
