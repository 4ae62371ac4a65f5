package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/decode"
	"github.com/ikelab/ikelab/sim/report"
)

// decodeBufferBytes is what decode writes at a time.
const decodeBufferBytes = 1 << 16

// warningsPrintedMax cuts what is said about rows of the key tables.
const warningsPrintedMax = 20

// decodeFlags are decode's flags.
type decodeFlags struct {
	keys   string
	asJSON bool
	ladder bool
}

func newDecodeCommand(std stdio) *cobra.Command {
	var f decodeFlags
	cmd := &cobra.Command{
		Use:   "decode FILE",
		Short: "Show the IKEv2 and ESP of a capture, decrypted with its keys",
		Long: `decode reads a capture (pcap or pcapng, gzipped or not; - is standard input) and prints one
line per packet: IKEv2 with its payloads, ESP and AH, in UDP, TCP or bare, fragments put
together, and then a summary of all SAs. Gaps in sequence numbers, late packets, replays and
retransmissions are marked, and packets that were captured twice. What a message does that an RFC
forbids is a remark.

--keys DIR names a folder with Wireshark's tables ikev2_decryption_table and esp_sa, such as
the folder wireshark that run --out writes. Decoding knows algorithms that negotiation
refuses (3DES, AES-CCM, NULL, HMAC-MD5 and others).

--json prints one JSON object a line instead; docs/decode.md has its schema.
--ladder draws the exchanges instead, as run does.

Exit status: 0 all was read; 1 something was malformed or an integrity check value wrong;
2 FILE is no capture or cannot be read, or the command line is wrong; 3 nothing was wrong, and a
link type or a tunnel was not looked into, which is named; 4 an internal or IO error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.asJSON && f.ladder {
				return usageError("--json and --ladder: want one of them; the ladder is a drawing for people")
			}
			return decodeCapture(cmd.Context(), std, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.keys, "keys", "", "`directory` with ikev2_decryption_table, esp_sa or both")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object a line (docs/decode.md)")
	flags.BoolVar(&f.ladder, "ladder", false, "draw the IKE exchanges as a ladder")
	return cmd
}

// decodeCapture is decode, its command line being read.
func decodeCapture(ctx context.Context, std stdio, name string, f decodeFlags) error {
	keys, err := decodeKeys(std, f.keys)
	if err != nil {
		return err
	}
	in, closeIn, err := openCapture(std, name)
	if err != nil {
		return err
	}
	defer closeIn()
	out := bufio.NewWriterSize(std.out, decodeBufferBytes)
	r, err := decode.NewReader(&prompt{in, out})
	if err != nil {
		return usageError("%s: %w", name, err)
	}

	text := decode.Text{InterfaceName: func(number int) string {
		if r.Interfaces() < 2 {
			return "" // there is nothing to tell apart
		}
		return r.InterfaceName(number)
	}}
	var line []byte
	d := decode.NewDecoder(decode.Options{Keys: keys, Ladder: f.ladder}, func(r *decode.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case f.ladder:
			return nil
		case f.asJSON:
			line = screen.EscapeJSON(decode.AppendJSON(line[:0], r))
		default:
			line = text.Append(line[:0], r)
		}
		_, err := out.Write(line)
		return err
	})
	err = d.Run(r)
	interrupted := errors.Is(err, context.Canceled)
	for _, u := range d.Unread() {
		_, _ = fmt.Fprintf(std.err, "ikelab: %s: %s is not looked into: what IKE, ESP and AH there is in it (%s) is not shown\n", name, u.Name, frames(u.Frames))
	}
	if err == nil || interrupted {
		err = decodeEnd(std, out, d, r, f)
	}
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	switch {
	case err != nil:
		return internalError("%s: %w", name, err)
	case interrupted:
		return silent(exitInterrupted)
	case !d.Stats().Clean():
		return silent(exitFailed)
	case d.Stats().Unread > 0:
		return silent(exitCapability)
	}
	return nil
}

// frames is a number of frames.
func frames(n uint64) string {
	if n == 1 {
		return "1 frame"
	}
	return fmt.Sprintf("%d frames", n)
}

// prompt reads a capture that is perhaps still being made: before it waits for more, what was decoded is printed.
type prompt struct {
	in  io.Reader
	out *bufio.Writer
}

func (p *prompt) Read(b []byte) (int, error) {
	_ = p.out.Flush() // the writer keeps the error and returns it at the next line
	return p.in.Read(b)
}

// decodeKeys reads the tables of a folder, none without a folder.
func decodeKeys(std stdio, folder string) (*decode.Keys, error) {
	if folder == "" {
		return nil, nil
	}
	if _, err := os.Stat(folder); err != nil {
		return nil, usageError("--keys: %w", err)
	}
	keys, warnings, err := decode.LoadKeys(os.DirFS(folder))
	if err != nil {
		return nil, usageError("--keys %s: %w", folder, err)
	}
	for i, w := range warnings {
		if i == warningsPrintedMax {
			_, _ = fmt.Fprintf(std.err, "ikelab: … and %d rows more\n", len(warnings)-i)
			break
		}
		_, _ = fmt.Fprintf(std.err, "ikelab: --keys %s: this row is not used: %v\n", folder, w)
	}
	return keys, nil
}

// openCapture opens the capture, - being standard input.
func openCapture(std stdio, name string) (io.Reader, func(), error) {
	if name == "-" {
		return std.in, func() {}, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, usageError("%w", err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close() // it was only looked at
		return nil, nil, usageError("%s is a folder; decode wants a capture in it, and --keys a folder with key tables", name)
	}
	return file, func() { _ = file.Close() }, nil // it was only read
}

// decodeEnd prints what follows the packets.
func decodeEnd(std stdio, out *bufio.Writer, d *decode.Decoder, r *decode.Reader, f decodeFlags) error {
	switch {
	case f.asJSON:
		return nil
	case f.ladder:
		width, color := terminal(std.out)
		result := ladderOf(d.Ladder())
		if err := report.Ladder(out, result, report.Options{WidthColumns: width, Colour: color}); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return d.Summary(out, r.InterfaceName)
}

// ladderOf is what was decoded as the result of a run, of which a ladder is drawn. Where messages between two ends are
// seen at both ends of their way, one that was seen at a single point did not arrive. Between ends of which the capture
// has one point alone, as where it was taken at a peer, all arrived as far as it can tell.
func ladderOf(rows []decode.Row, omitted uint64) *sim.Result {
	result := &sim.Result{ExchangesOmitted: omitted}
	ends := func(r decode.Row) [2]string { return [2]string{min(r.From, r.To), max(r.From, r.To)} }
	several := make(map[[2]string]bool)
	for _, row := range rows {
		if row.Points > 1 {
			several[ends(row)] = true
		}
	}
	for _, row := range rows {
		arrived := !several[ends(row)] || row.Points > 1
		result.Exchanges = append(result.Exchanges, sim.ExchangeRow{
			At: row.At, Arrived: arrived, ArrivedAt: row.ArrivedAt, Lost: !arrived, Reason: "not seen again", From: row.From, To: row.To,
			Exchange: row.Exchange, MessageID: row.MessageID, Response: row.Response, FromInitiator: row.FromInitiator,
			Retransmission: row.Retransmission, Bytes: row.Bytes, Payloads: row.Payloads, Label: row.Label, Faults: row.Faults,
		})
	}
	return result
}
