package rekeydump

// insert reads INSERT INTO … VALUES.
func (d *dump) insert() error {
	d.rows = true
	for {
		d.space()
		word := d.word()
		if word == "INTO" {
			break
		}
		if word == "" {
			return d.expected("INTO")
		}
	}
	table, err := d.table()
	if err != nil {
		return err
	}
	fields, err := d.names()
	if err != nil {
		return err
	}
	named := fields != nil
	for {
		d.space()
		word := d.word()
		if word == "VALUES" || word == "VALUE" {
			if d.space(); d.at(0) == '(' {
				break
			}
			continue // OVERRIDING SYSTEM VALUE
		}
		if word == "" || word == "SELECT" || word == "SET" || word == "DEFAULT" {
			if !d.has(1) {
				return d.cutOff()
			}
			return d.wrong("an INSERT into %s has no VALUES: its rows cannot be counted", table)
		}
	}
	if !named {
		fields = d.tables[table]
	}
	d.types(table, fields)
	var to *target
	for {
		if err := d.values(); err != nil {
			return err
		}
		if to == nil {
			// Columns that the database computes are left out by some programs.
			if !named && len(fields) > len(d.row) {
				fields = stored(fields)
			}
			if !named && fields == nil {
				fields = guess(len(d.row))
			}
			if to, err = d.count.target(d.home(table), fields, d.line); err != nil {
				return err
			}
		}
		if len(d.row) != len(fields) {
			return d.wrong("a row of %s has %d values, and the table %d columns", table, len(d.row), len(fields))
		}
		for i := range d.row {
			d.bytea(fields[i], &d.row[i])
		}
		d.count.row(to, d.row)
		d.space()
		if d.at(0) != ',' {
			return d.rest()
		}
		d.skip(1)
		if d.space(); d.at(0) != '(' {
			return d.expected("a row")
		}
	}
}

// types completes columns that were only named.
func (d *dump) types(table name, fields []field) {
	for i := range fields {
		for _, t := range d.tables[table] {
			if t.name == fields[i].name {
				fields[i] = t
			}
		}
	}
}

func stored(fields []field) (kept []field) {
	for _, f := range fields {
		if !f.computed {
			kept = append(kept, f)
		}
	}
	return kept
}

// values takes one row in parentheses.
func (d *dump) values() error {
	d.row = d.row[:0]
	for {
		d.skip(1) // the parenthesis, or a comma
		d.space()
		if d.at(0) == ')' && len(d.row) == 0 {
			d.skip(1)
			return nil
		}
		if err := d.literal(nextCell(&d.row, d.count.most), 0); err != nil {
			return err
		}
		d.space()
		switch d.at(0) {
		case ',':
		case ')':
			d.skip(1)
			return nil
		default:
			return d.expected("a comma or a parenthesis after a value")
		}
	}
}

// copyFrom reads COPY … FROM stdin and its rows.
func (d *dump) copyFrom() error {
	table, err := d.table()
	if err != nil {
		return err
	}
	fields, err := d.names()
	if err != nil {
		return err
	}
	d.space()
	if d.word() != "FROM" {
		return d.rest()
	}
	d.space()
	if d.word() != "STDIN" {
		return d.elsewhere("COPY")
	}
	if d.space(); d.has(1) && d.at(0) != ';' {
		return d.wrong("COPY in another format than the text format without options cannot be read here")
	}
	if err := d.rest(); err != nil {
		return err
	}
	if d.until("\n", &d.skipped) {
		d.skip(1)
	}
	if fields == nil {
		fields = d.tables[table]
	}
	d.types(table, fields)
	var to *target
	for {
		if !d.has(1) {
			return d.cutOff()
		}
		if d.at(0) == '\\' && d.at(1) == '.' && (d.at(2) == '\n' || d.at(2) == '\r' || d.at(2) == 0) {
			d.restOfLine()
			return nil
		}
		line := d.line
		if err := d.copyRow(); err != nil {
			return err
		}
		if fields == nil {
			fields = guess(len(d.row))
		}
		if to == nil {
			if to, err = d.count.target(d.home(table), fields, line); err != nil {
				return err
			}
		}
		if len(fields) == 0 && len(d.row) == 1 && len(d.row[0].raw) == 0 {
			d.row = d.row[:0] // a table without columns
		}
		if len(d.row) != len(fields) {
			return wrong(line, "a row of %s has %d values, and the table %d columns", table, len(d.row), len(fields))
		}
		for i := range d.row {
			d.bytea(fields[i], &d.row[i])
		}
		d.count.row(to, d.row)
	}
}

// copyRow takes one row of COPY's text format.
func (d *dump) copyRow() error {
	d.row = d.row[:0]
	v := nextCell(&d.row, d.count.most)
	for d.until("\t\n\\", v) {
		c, _ := d.next()
		switch c {
		case '\t':
			v = nextCell(&d.row, d.count.most)
		case '\n':
			return nil
		default:
			after, ok := d.next()
			if !ok {
				return d.cutOff()
			}
			if end := d.at(0); after == 'N' && len(v.raw) == 0 && !v.cut && (end == '\t' || end == '\n') {
				v.null = true
				continue
			}
			d.copied(after, v)
		}
	}
	return d.cutOff()
}
