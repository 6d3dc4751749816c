package node

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
)

// logOptions are those of `kubectl logs` which this node knows.
type logOptions struct {
	follow bool
	// tail is the number of last lines to begin with, -1 for all.
	tail int64
	// limit is the number of bytes to send at most, -1 for all.
	limit int64
}

// parseLogOptions also names the options which are not served: a log with the
// wrong content would be worse than an error.
func parseLogOptions(query url.Values) (options logOptions, unserved string) {
	for _, name := range []string{"previous", "timestamps", "sinceTime", "sinceSeconds"} {
		if value := query.Get(name); value != "" && value != "false" {
			return logOptions{}, name
		}
	}
	options = logOptions{follow: query.Get("follow") == "true", tail: -1, limit: -1}
	for name, target := range map[string]*int64{"tailLines": &options.tail, "limitBytes": &options.limit} {
		value := query.Get(name)
		if value == "" {
			continue
		}
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil || number < 0 {
			return logOptions{}, name + "=" + value
		}
		*target = number
	}
	return options, ""
}

// copyTo writes the log, and what is added to it if the client follows.
func (o *output) copyTo(ctx context.Context, w http.ResponseWriter, options logOptions) error {
	file, err := os.Open(o.file.Name())
	if err != nil {
		return err
	}
	defer file.Close()
	size, _, _ := o.extent()
	offset, err := tailOffset(file, size, options.tail)
	if err != nil {
		return err
	}
	for left := options.limit; ; {
		size, complete, changed := o.extent()
		count := size - offset
		if left >= 0 {
			count = min(count, left)
			left -= count
		}
		if _, err := io.Copy(w, io.NewSectionReader(file, offset, count)); err != nil {
			return err
		}
		offset += count
		if complete || !options.follow || left == 0 {
			return nil
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tailOffset finds where the last lines begin.
func tailOffset(file io.ReaderAt, size, lines int64) (int64, error) {
	if lines < 0 {
		return 0, nil
	}
	if lines == 0 {
		return size, nil
	}
	block := make([]byte, 64<<10)
	// The newline which ends the last line begins none.
	for end := size - 1; end > 0; {
		start := max(0, end-int64(len(block)))
		piece := block[:end-start]
		if _, err := file.ReadAt(piece, start); err != nil && err != io.EOF {
			return 0, err
		}
		for at := bytes.LastIndexByte(piece, '\n'); at >= 0; at = bytes.LastIndexByte(piece[:at], '\n') {
			if lines--; lines == 0 {
				return start + int64(at) + 1, nil
			}
		}
		end = start
	}
	return 0, nil
}
