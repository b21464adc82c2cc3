package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows how far a long step has come: a bar on a terminal, a line every tenth of the way elsewhere, because a bar
// writes control bytes that nobody wants in a log.
type progress struct {
	out      io.Writer
	terminal bool
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// step is one long step.
type step struct {
	name  string
	total int64
	out   io.Writer
	bars  *mpb.Progress // one for each step: it redraws all that it has drawn, over whatever was printed since
	bar   *mpb.Bar      // nil where there is no terminal

	mu    sync.Mutex
	done  int64
	tenth int64 // the last that was told
}

func (p *progress) start(name string, total int64) *step {
	s := &step{name: name, total: total, out: p.out}
	if p.terminal {
		s.bars = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(50))
		s.bar = s.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name(name, decor.WC{W: 30, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersNoUnit("%d / %d"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	return s
}

// set tells how many are done.
func (s *step) set(done int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = done
	if s.bar != nil {
		s.bar.SetCurrent(done)
		return
	}
	if tenth := done * 10 / s.total; tenth > s.tenth {
		s.tenth = tenth
		_, _ = fmt.Fprintf(s.out, "%s: %d of %d\n", s.name, done, s.total)
	}
}

// end leaves the bar as it stands.
func (s *step) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar == nil {
		return
	}
	if s.done < s.total {
		s.bar.Abort(false)
	}
	s.bars.Wait()
}
