package capture

import (
	"fmt"
	"io"
)

// preferences turn decryption on. Wireshark keeps a setting's value where a line does not name it.
//
// Sequence analysis stays off: it knows SPIs and not directions or interfaces, so every packet that is
// captured at two link ends would be marked as a fault. The heuristic for NULL encryption stays off: it finds
// plaintext in what is encrypted with a cipher that Wireshark does not have.
const preferences = `# Written by ikelab.
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
esp.enable_null_encryption_decode_heuristic: FALSE
esp.do_esp_sequence_analysis: FALSE
gui.column.format:
	"No.", "%m",
	"Time", "%t",
	"Link end", "%Cus:frame.interface_name:0:R",
	"Source", "%s",
	"Destination", "%d",
	"Protocol", "%p",
	"Length", "%L",
	"ESP SPI", "%Cus:esp.spi:0:R",
	"ESP sequence", "%Cus:esp.sequence:0:R",
	"Info", "%i"
`

// colorFilters mark what a reader looks for first. The first rule that fits is taken.
const colorFilters = `# Written by ikelab.
@Integrity check failed@esp.icv_bad == 1@[65535,52428,52428][39321,0,0]
@IKE error notification@isakmp.notify.msgtype < 16384@[65535,60909,49087][26214,13107,0]
@ESP@esp@[58853,65535,58853][0,26214,0]
@IKE@isakmp@[58853,61680,65535][0,13107,39321]
`

// readme is for a person who finds the folder.
const readme = `Keys and settings that let Wireshark and tshark (made for version 4.0) show this run's packets decrypted.

Without installing anything:

    WIRESHARK_CONFIG_DIR=wireshark tshark -r capture.pcapng
    WIRESHARK_CONFIG_DIR=wireshark wireshark capture.pcapng

As a profile of your own Wireshark, copy this folder to

    ~/.config/wireshark/profiles/ikelab

and open the capture with

    wireshark -C ikelab capture.pcapng
`

// WriteProfile writes a Wireshark configuration with both tables: preferences that turn decryption on, columns
// and colours. create makes a file of a name without folders. The folder serves as WIRESHARK_CONFIG_DIR, or
// copied to the personal folder "profiles" as a profile for "wireshark -C". The gaps of both tables are
// returned.
func WriteProfile(create func(name string) (io.WriteCloser, error), ike []IKEKeys, esp []ESPKeys) ([]Gap, error) {
	var gaps []Gap
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, s)
			return err
		}
	}
	files := []struct {
		name  string
		write func(io.Writer) error
	}{
		{"preferences", text(preferences)},
		{"colorfilters", text(colorFilters)},
		{"README.txt", text(readme)},
		{"ikev2_decryption_table", func(w io.Writer) error {
			g, err := WriteIKEv2DecryptionTable(w, ike)
			gaps = append(gaps, g...)
			return err
		}},
		{"esp_sa", func(w io.Writer) error {
			g, err := WriteESPSA(w, esp)
			gaps = append(gaps, g...)
			return err
		}},
	}
	for _, f := range files {
		if err := writeFile(create, f.name, f.write); err != nil {
			return gaps, fmt.Errorf("capture: writing the Wireshark profile's %s: %w", f.name, err)
		}
	}
	return gaps, nil
}

// writeFile makes one file and closes it, whatever happens.
func writeFile(create func(name string) (io.WriteCloser, error), name string, write func(io.Writer) error) error {
	file, err := create(name)
	if err != nil {
		return err
	}
	err = write(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}
