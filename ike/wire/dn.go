package wire

import (
	"encoding/asn1"
	"encoding/hex"
	"strings"
)

// relativeName is one attribute of a distinguished name (RFC 5280 §4.1.2.4).
type relativeName struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// relativeNameSET is a SET OF attributes; its name makes encoding/asn1 read a SET.
type relativeNameSET []relativeName

// nameKeywords are RFC 4514's keywords and those that people use beside them.
var nameKeywords = []struct{ oid, keyword string }{
	{"2.5.4.3", "CN"}, {"2.5.4.5", "serialNumber"}, {"2.5.4.6", "C"}, {"2.5.4.7", "L"},
	{"2.5.4.8", "ST"}, {"2.5.4.9", "STREET"}, {"2.5.4.10", "O"}, {"2.5.4.11", "OU"},
	{"1.2.840.113549.1.9.1", "E"}, {"0.9.2342.19200300.100.1.25", "DC"}, {"0.9.2342.19200300.100.1.1", "UID"},
}

// distinguishedName renders a DER name in the order of its encoding, as
// swanctl.conf writes it: "C=CH, O=example, CN=gw".
func distinguishedName(der []byte) (string, bool) {
	var name []relativeNameSET
	if rest, err := asn1.Unmarshal(der, &name); err != nil || len(rest) != 0 {
		return "", false
	}
	var parts []string
	for _, set := range name {
		var values []string
		for _, attribute := range set {
			values = append(values, nameKeyword(attribute.Type)+"="+nameValue(attribute.Value))
		}
		parts = append(parts, strings.Join(values, "+"))
	}
	return strings.Join(parts, ", "), true
}

func nameKeyword(oid asn1.ObjectIdentifier) string {
	text := oid.String()
	for _, k := range nameKeywords {
		if k.oid == text {
			return k.keyword
		}
	}
	return text
}

// nameValue is a string value with RFC 4514's special characters escaped, or
// "#" and the DER for anything that is not a printable string.
func nameValue(v asn1.RawValue) string {
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString:
		if v.Class == asn1.ClassUniversal && printable(v.Bytes) {
			return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `+`, `\+`, `"`, `\"`, `<`, `\<`, `>`, `\>`, `;`, `\;`, `=`, `\=`).Replace(string(v.Bytes))
		}
	}
	return "#" + hex.EncodeToString(v.FullBytes)
}
