package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// SA is an IKE SA as charon lists it.
type SA struct {
	Connection    string
	ID            uint64 // charon's own number
	State         string // ESTABLISHED, CONNECTING, …
	Initiator     bool   // charon began it
	SPIi, SPIr    uint64
	Local, Remote netip.AddrPort
	// Proposal is what was chosen: encryption, integrity, PRF and key exchange in
	// charon's words, without what there is not.
	Proposal []string
	Children []Child
}

// Child is a CHILD SA as charon lists it.
type Child struct {
	Name                  string
	ID                    uint64
	State                 string // INSTALLED, …
	Encapsulated          bool   // in UDP
	SPIIn, SPIOut         uint32
	BytesIn, BytesOut     uint64 // of inner packets
	PacketsIn, PacketsOut uint64
	LocalTS, RemoteTS     []string // as swanctl prints them, in its order
}

// section is what stands between two braces of swanctl's pretty output.
type section struct {
	name     string
	values   map[string]string
	lists    map[string][]string
	sections []*section
}

// parseSections reads `swanctl --pretty`: one key or value a line, so that a value
// may hold anything but a line's end.
func parseSections(text string) (*section, error) {
	root := &section{}
	open := []*section{root}
	list := "" // the key of the list that is open
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		top := open[len(open)-1]
		key, value, assigned := strings.Cut(line, " = ")
		switch {
		case line == "":
		case list != "":
			if line == "]" {
				list = ""
				continue
			}
			top.lists[list] = append(top.lists[list], line)
		case line == "}":
			if len(open) == 1 {
				return nil, fmt.Errorf("line %d of swanctl's answer: nothing is open that } could close", n+1)
			}
			open = open[:len(open)-1]
		case assigned && value == "[":
			list = key
			top.lists[list] = []string{}
		case assigned:
			top.values[key] = value
		case strings.HasSuffix(line, " {"):
			s := &section{name: strings.TrimSuffix(line, " {"), values: map[string]string{}, lists: map[string][]string{}}
			top.sections = append(top.sections, s)
			open = append(open, s)
		case strings.HasSuffix(line, " ="): // an empty value
			top.values[strings.TrimSuffix(line, " =")] = ""
		default:
			return nil, fmt.Errorf("line %d of swanctl's answer: neither a key nor a section: %q", n+1, line)
		}
	}
	if len(open) != 1 || list != "" {
		return nil, errors.New("swanctl's answer ends too early")
	}
	return root, nil
}

// parseSAs reads `swanctl --list-sas --pretty`.
func parseSAs(text string) ([]SA, error) {
	root, err := parseSections(text)
	if err != nil {
		return nil, err
	}
	var sas []SA
	for _, event := range root.sections {
		if event.name != "list-sa event" {
			continue // the closing "list-sas reply"
		}
		for _, s := range event.sections {
			f := fields{values: s.values}
			sa := SA{
				Connection: s.name,
				ID:         f.number("uniqueid", 10, 64),
				State:      s.values["state"],
				Initiator:  s.values["initiator"] == "yes",
				SPIi:       f.number("initiator-spi", 16, 64),
				SPIr:       f.number("responder-spi", 16, 64),
				Local:      f.addrPort("local-host", "local-port"),
				Remote:     f.addrPort("remote-host", "remote-port"),
				Proposal:   s.proposal(),
			}
			for _, children := range s.sections {
				if children.name != "child-sas" {
					continue
				}
				for _, c := range children.sections {
					child, err := parseChild(c)
					if err != nil {
						return nil, fmt.Errorf("IKE SA %q in swanctl's answer: %w", s.name, err)
					}
					sa.Children = append(sa.Children, child)
				}
			}
			if f.err != nil {
				return nil, fmt.Errorf("IKE SA %q in swanctl's answer: %w", s.name, f.err)
			}
			sas = append(sas, sa)
		}
	}
	return sas, nil
}

func parseChild(s *section) (Child, error) {
	f := fields{values: s.values}
	c := Child{
		Name:         s.values["name"],
		ID:           f.number("uniqueid", 10, 64),
		State:        s.values["state"],
		Encapsulated: s.values["encap"] == "yes",
		SPIIn:        uint32(f.number("spi-in", 16, 32)),
		SPIOut:       uint32(f.number("spi-out", 16, 32)),
		BytesIn:      f.number("bytes-in", 10, 64),
		BytesOut:     f.number("bytes-out", 10, 64),
		PacketsIn:    f.number("packets-in", 10, 64),
		PacketsOut:   f.number("packets-out", 10, 64),
		LocalTS:      s.lists["local-ts"],
		RemoteTS:     s.lists["remote-ts"],
	}
	if f.err != nil {
		return Child{}, fmt.Errorf("CHILD SA %q: %w", s.name, f.err)
	}
	return c, nil
}

// proposal lists the algorithms of an SA, an encryption key's length behind its name.
func (s *section) proposal() []string {
	var names []string
	for _, key := range []string{"encr-alg", "integ-alg", "prf-alg", "dh-group"} {
		name := s.values[key]
		if size := s.values["encr-keysize"]; key == "encr-alg" && size != "" {
			name += "-" + size
		}
		names = append(names, name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// fields reads values and keeps the first error. A key that is not there is zero: an
// SA that is being negotiated has not everything yet.
type fields struct {
	values map[string]string
	err    error
}

func (f *fields) number(key string, base, bits int) uint64 {
	value := f.values[key]
	if value == "" {
		return 0
	}
	n, err := strconv.ParseUint(value, base, bits)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", key, err)
	}
	return n
}

func (f *fields) addrPort(hostKey, portKey string) netip.AddrPort {
	host := f.values[hostKey]
	if host == "" || host == "%any" {
		return netip.AddrPort{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", hostKey, err)
	}
	return netip.AddrPortFrom(addr, uint16(f.number(portKey, 10, 16)))
}
