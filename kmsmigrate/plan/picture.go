package plan

import (
	"fmt"
	"slices"
)

// picture is the dependencies of one move, drawn in layers. Steps of one kind are one node, so that a thousand batches are one line of text.
type picture struct {
	Title         string
	Width, Height int
	Nodes         []node
	Edges         []edge
}

type node struct {
	Text, Full, Mode string
	Standing         string
	X, Y             int
}

type edge struct{ X1, Y1, X2, Y2, MidY int }

const (
	nodeWidth, nodeHeight = 250, 40
	gapX, gapY            = 16, 34
	perRow                = 4 // nodes beside one another: as many as a desk's window shows
)

func (r runbook) pictures() []picture {
	var out []picture
	for i := 0; i < len(r.Steps); {
		n := i + 1
		for n < len(r.Steps) && r.Steps[n].Account == r.Steps[i].Account && r.Steps[n].From == r.Steps[i].From {
			n++
		}
		out = append(out, r.picture(r.Steps[i:n]))
		i = n
	}
	return out
}

// kindNode is the steps of one kind.
type kindNode struct {
	kind  string
	mode  Mode
	count int
	done  int
	ready bool
	after map[string]bool
	layer int
}

func (r runbook) picture(steps []Step) picture {
	byKind, kindOf := map[string]*kindNode{}, map[string]string{}
	var order []*kindNode
	for _, s := range steps {
		kindOf[s.ID] = s.Kind
		k := byKind[s.Kind]
		if k == nil {
			k = &kindNode{kind: s.Kind, mode: s.Mode, after: map[string]bool{}}
			byKind[s.Kind] = k
			order = append(order, k)
		}
		k.count++
		switch r.standing[s.ID] {
		case Done:
			k.done++
		case Ready:
			k.ready = true
		}
		for _, id := range s.After {
			// The comparison after a restore shares its kind with the one after the tool; only edges that lead forward are drawn.
			if before, ok := kindOf[id]; ok && before != s.Kind && slices.IndexFunc(order, func(o *kindNode) bool { return o.kind == before }) < slices.Index(order, k) {
				k.after[before] = true
				k.layer = max(k.layer, byKind[before].layer+1)
			}
		}
	}
	first := steps[0]
	pic := picture{Title: first.Account + " · " + first.From + " → " + first.To}
	layers := map[int][]*kindNode{}
	for _, k := range order {
		layers[k.layer] = append(layers[k.layer], k)
	}
	at := map[string]node{}
	row := 0 // of the picture; a layer of many nodes takes several
	for layer := range len(layers) {
		for i, k := range layers[layer] {
			text := r.t(kindsByName()[k.kind].Title)
			if k.count > 1 {
				text += fmt.Sprintf(" ×%d", k.count)
			}
			standing := ""
			if r.standing != nil {
				switch {
				case k.done == k.count:
					standing = string(Done)
				case k.ready || k.done > 0:
					standing = string(Ready)
				default:
					standing = string(Waiting)
				}
			}
			n := node{Text: shorten(text, nodeWidth-22), Full: text, Mode: string(k.mode), Standing: standing, X: gapX + i%perRow*(nodeWidth+gapX), Y: gapY/2 + (row+i/perRow)*(nodeHeight+gapY)}
			at[k.kind] = n
			pic.Nodes = append(pic.Nodes, n)
			pic.Width, pic.Height = max(pic.Width, n.X+nodeWidth+gapX), max(pic.Height, n.Y+nodeHeight+gapY/2)
		}
		row += (len(layers[layer]) + perRow - 1) / perRow
	}
	for _, k := range order {
		for _, before := range order {
			if k.after[before.kind] && !implied(byKind, k, before.kind) {
				a, b := at[before.kind], at[k.kind]
				pic.Edges = append(pic.Edges, edge{a.X + nodeWidth/2, a.Y + nodeHeight, b.X + nodeWidth/2, b.Y, (a.Y + nodeHeight + b.Y) / 2})
			}
		}
	}
	return pic
}

// implied reports whether another of k's dependencies waits for that kind already, so that the line need not be drawn.
func implied(byKind map[string]*kindNode, k *kindNode, kind string) bool {
	var reaches func(n *kindNode) bool
	reaches = func(n *kindNode) bool {
		for before := range n.after {
			if before == kind || reaches(byKind[before]) {
				return true
			}
		}
		return false
	}
	for before := range k.after {
		if before != kind && reaches(byKind[before]) {
			return true
		}
	}
	return false
}

// shorten cuts a text to a width in pixels. Fonts differ, so it reckons with a wide one; Chinese characters are square.
func shorten(text string, width float64) string {
	for i, r := range text {
		width -= 7.6
		if r >= 0x2e80 {
			width -= 6
		}
		if width < 0 {
			return text[:i] + "…"
		}
	}
	return text
}
