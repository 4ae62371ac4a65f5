package topology

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// languagePath is the reference of the lab language.
const languagePath = "../docs/language.md"

// documented is how docs/language.md must begin the line of an attribute: its name,
// what it takes with unit and range, and its default. What it means follows.
func documented(a *attribute) string {
	fallback := "–"
	switch v := a.fallback.(type) {
	case nil, []string:
		if a.required {
			fallback = "required"
		}
	case string:
		fallback = fmt.Sprintf("`%q`", v)
	case bool, uint64, float64:
		fallback = fmt.Sprintf("`%v`", v)
	case time.Duration:
		fallback = fmt.Sprintf("`%q`", shortDuration(v))
	case time.Time:
		fallback = fmt.Sprintf("`%q`", v.Format(time.RFC3339))
	case flowRate:
		fallback = "`\"" + v.packetsPerSecond.RatString() + "pps\"`"
	case Identity:
		fallback = "`\"%any\"`"
	default:
		panic(fmt.Sprintf("no text for the default %T", v))
	}
	return fmt.Sprintf("| `%s` | %s | %s |", a.name, takesText(a.kind), fallback)
}

// takesText is what an attribute takes, in the words of the reference.
func takesText(k kind) string {
	switch k := k.(type) {
	case environment:
		return "object of strings"
	case text, anything, argument:
		return k.what()
	case boolean:
		return "`true`, `false`"
	case integer:
		unit := ""
		if k.unit != "" {
			unit = " " + k.unit
		}
		if k.orZero {
			return fmt.Sprintf("0, or %d to %d%s", k.min, k.max, unit)
		}
		return fmt.Sprintf("%d to %d%s", k.min, k.max, unit)
	case decimal:
		return fmt.Sprintf("%v to %v", k.min, k.max)
	case span:
		limit := k.max
		if limit == 0 {
			limit = durationMaxDefault
		}
		if k.orZero {
			return fmt.Sprintf("duration, 0s or %s to %s", shortDuration(k.min), shortDuration(limit))
		}
		return fmt.Sprintf("duration, %s to %s", shortDuration(k.min), shortDuration(limit))
	case bitRate:
		return fmt.Sprintf("bit rate, %dbit to %dbit", k.min, k.max)
	case packetRate:
		return "packet or bit rate, up to one packet per " + shortDuration(flowIntervalMin)
	case size:
		return fmt.Sprintf("size, %d to %d bytes", k.min, k.max)
	case queueLimit:
		return "duration, size, or packets such as `\"100p\"`"
	case choice:
		return "`" + strings.Join(quoted(k.of), "`, `") + "`"
	case list:
		return fmt.Sprintf("list of up to %d: %s", k.max, takesText(k.of))
	case object:
		return "object, see " + k.schema.name
	case target:
		return "reference to " + strings.Join(k.of, " or ")
	case linkTarget:
		return "reference to link, or object like link"
	case prefix:
		return "prefix"
	case destination:
		return "reference to network, prefix, or `\"default\"`"
	case ifaceAddress:
		return "address, with or without length"
	case peers:
		return "reference to interface or node, address, or `\"%any\"`"
	case identity:
		return "identity"
	case proposal:
		return "proposal"
	case traffic:
		return "traffic selector"
	case endpoint:
		if k.address {
			return "reference to node or interface, or address"
		}
		return "reference to node or interface"
	case timestamp:
		return "RFC 3339 time"
	case actionKind:
		return "action"
	case connectionName:
		return "reference to connection, or its name"
	}
	panic(fmt.Sprintf("no text for %T", k))
}

func quoted(words []string) []string {
	out := make([]string, 0, len(words))
	for _, w := range words {
		out = append(out, fmt.Sprintf("%q", w))
	}
	return out
}

// shortDuration is a duration without zero parts: "1m", not "1m0s".
func shortDuration(d time.Duration) string {
	t := d.String()
	if strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	return t
}

// everyBlock calls f for every block that this version looks at, once.
func everyBlock(b *blockSchema, path string, f func(b *blockSchema, heading string)) {
	for _, nested := range b.blocks {
		if nested.later {
			continue
		}
		heading := strings.TrimSpace(path + " " + nested.name)
		f(nested, heading)
		for i := range nested.attributes {
			k := nested.attributes[i].kind
			if o, is := k.(object); is {
				f(o.schema, o.schema.name)
			}
		}
		everyBlock(nested, heading, f)
	}
}

// TestLanguageReference: docs/language.md has a line for every block and attribute,
// with unit, range and default, for every function, event, invariant and result, and
// names what is refused.
func TestLanguageReference(t *testing.T) {
	raw, err := os.ReadFile(languagePath)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	heading := ""
	for _, line := range strings.Split(strings.ReplaceAll(string(raw), `\|`, "|"), "\n") {
		if h, is := strings.CutPrefix(line, "### "); is {
			heading = strings.Trim(h, "`")
			continue
		}
		if h, is := strings.CutPrefix(line, "## "); is {
			heading = h
			continue
		}
		sections[heading] += line + "\n"
	}
	everyBlock(rootSchema, "", func(b *blockSchema, heading string) {
		section, is := sections[heading]
		if !is {
			t.Errorf("no section ### `%s`", heading)
			return
		}
		for i := range b.attributes {
			a := &b.attributes[i]
			if a.later {
				if !strings.Contains(sections["Refused by name"], "`"+a.name+"`") {
					t.Errorf("## Refused by name does not have `%s` of %s", a.name, heading)
				}
				continue
			}
			row := documented(a)
			i := strings.Index(section, row)
			if i < 0 {
				t.Errorf("### `%s` needs a line that begins\n%s", heading, row)
				continue
			}
			line, _, _ := strings.Cut(section[i+len(row):], "\n")
			if len(strings.Trim(line, " |")) < 10 {
				t.Errorf("### `%s` does not say what %s means", heading, a.name)
			}
		}
		for _, c := range laterWords(b) {
			if !strings.Contains(sections["Refused by name"], "`"+c+"`") {
				t.Errorf("## Refused by name does not have `%s` of %s", c, heading)
			}
		}
	})
	for _, b := range rootSchema.blocks {
		if b.later && !strings.Contains(sections["Refused by name"], "`"+b.name+"`") {
			t.Errorf("## Refused by name does not have the block `%s`", b.name)
		}
	}
	for _, name := range laterActionNames {
		if !strings.Contains(sections["Refused by name"], "`"+name+"`") {
			t.Errorf("## Refused by name does not have the action `%s`", name)
		}
	}
	for _, name := range functionNames() {
		if !slices.Contains(laterActionNames, name) && !strings.Contains(sections["Functions"], "`"+name) && !strings.Contains(sections["Actions"], "`"+name) {
			t.Errorf("## Functions does not have `%s`", name)
		}
	}
	for _, kind := range []string{"flow", "node", "connection", "child", "process"} {
		for _, f := range resultFields[kind] {
			if !strings.Contains(sections["Results"], "| `"+f.name+"` |") {
				t.Errorf("## Results does not have `%s` of a %s", f.name, kind)
			}
		}
	}
	for _, name := range eventNames {
		if !strings.Contains(sections["Events"], "| `"+name+"` |") {
			t.Errorf("## Events does not have `%s`", name)
		}
	}
	for _, name := range invariantNames {
		if !strings.Contains(sections["Invariants"], "| `"+name+"` |") {
			t.Errorf("## Invariants does not have `%s`", name)
		}
	}
}

// laterWords are the values of a block's attributes that are refused.
func laterWords(b *blockSchema) []string {
	var words []string
	for i := range b.attributes {
		if c, is := b.attributes[i].kind.(choice); is {
			words = append(words, c.later...)
		}
	}
	return words
}

// TestLanguageExamples: what docs/language.md shows as a whole lab is one.
func TestLanguageExamples(t *testing.T) {
	raw, err := os.ReadFile(languagePath)
	if err != nil {
		t.Fatal(err)
	}
	labs := 0
	for i, block := range strings.Split(string(raw), "```hcl\n")[1:] {
		src, _, _ := strings.Cut(block, "```")
		if !strings.Contains(src, "lab \"") {
			if _, d := Format([]byte(src), "example.hcl"); d.HasErrors() {
				t.Errorf("example %d: %s", i+1, d.Error())
			}
			continue
		}
		labs++
		if _, d := loadText(t, src, nil); d.Len() > 0 {
			t.Errorf("example %d: %v", i+1, d.All())
		}
	}
	if labs == 0 {
		t.Error("no whole lab is shown")
	}
}
