package topology

import "testing"

// TestSecretKey holds that a key means what swanctl makes of it; what it refuses
// stands in testdata/diagnostics/identities.hcl.
func TestSecretKey(t *testing.T) {
	for text, want := range map[string]string{
		"one key":          "one key",
		"0x6f6e65206b6579": "one key", "0X6F6E65206B6579": "one key", "0X6f:6e:65:20:6b:65:79": "one key",
		"0sb25lIGtleQ==": "one key", "0Sb25lIGtleQ==": "one key", "0sb25l": "one", "0Sb25lIGs=": "one k",
		"0": "0", "0b1": "0b1", " 0xab": " 0xab", "00x12": "00x12", "b25lIGtleQ==": "b25lIGtleQ==", "\"quoted\"": "\"quoted\"",
	} {
		if key, err := secretKey(text); err != nil || string(key) != want {
			t.Errorf("%q: %q (%v), want %q", text, key, err, want)
		}
	}
}
