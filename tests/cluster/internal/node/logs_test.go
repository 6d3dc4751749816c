package node

import (
	"net/url"
	"strings"
	"testing"
)

func TestTailOffset(t *testing.T) {
	// Longer than a block, so that the search crosses one.
	long := strings.Repeat("x", 70<<10) + "\n"
	cases := []struct {
		name, log string
		lines     int64
		want      string
	}{
		{"all", "1\n2\n", -1, "1\n2\n"},
		{"none", "1\n2\n", 0, ""},
		{"last", "1\n2\n", 1, "2\n"},
		{"last is incomplete", "1\n2", 1, "2"},
		{"as many as there are", "1\n2\n", 2, "1\n2\n"},
		{"more than there are", "1\n2\n", 3, "1\n2\n"},
		{"empty lines count", "1\n\n\n", 2, "\n\n"},
		{"empty log", "", 1, ""},
		{"one long line", "1\n" + long, 1, long},
		{"before a long line", "1\n2\n" + long, 2, "2\n" + long},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			offset, err := tailOffset(strings.NewReader(c.log), int64(len(c.log)), c.lines)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.log[offset:]; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseLogOptions(t *testing.T) {
	cases := []struct {
		query    string
		want     logOptions
		unserved string
	}{
		{"", logOptions{tail: -1, limit: -1}, ""},
		{"follow=true&tailLines=3", logOptions{follow: true, tail: 3, limit: -1}, ""},
		{"limitBytes=9&previous=false", logOptions{tail: -1, limit: 9}, ""},
		{"timestamps=true", logOptions{}, "timestamps"},
		{"sinceSeconds=5", logOptions{}, "sinceSeconds"},
		{"tailLines=-1", logOptions{}, "tailLines=-1"},
	}
	for _, c := range cases {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got, unserved := parseLogOptions(query)
		if got != c.want || unserved != c.unserved {
			t.Errorf("%q: got %+v, %q, want %+v, %q", c.query, got, unserved, c.want, c.unserved)
		}
	}
}
