package topology

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// quantity is a decimal number followed by a unit. The number is bounded so that the
// arithmetic on it is.
var quantity = regexp.MustCompile(`^([+-]?[0-9]{1,18}(?:\.[0-9]{1,12})?) *([^0-9. ].*)?$`)

// splitQuantity answers number and unit of a text such as "80mbit".
func splitQuantity(text string) (number *big.Rat, unit string, ok bool) {
	m := quantity.FindStringSubmatch(text)
	if m == nil {
		return nil, "", false
	}
	number, ok = new(big.Rat).SetString(m[1])
	return number, strings.TrimSpace(m[2]), ok
}

// durationUnits are those of time.ParseDuration.
var durationUnits = []string{"ns", "us", "µs", "ms", "s", "m", "h"}

// durationMeant says what people write for a unit of time.
var durationMeant = map[string]string{
	"sec": "s", "secs": "s", "second": "s", "seconds": "s", "S": "s", "min": "m", "mins": "m", "minute": "m",
	"minutes": "m", "M": "m", "hour": "h", "hours": "h", "hr": "h", "H": "h", "msec": "ms", "msecs": "ms", "MS": "ms",
	"millisecond": "ms", "milliseconds": "ms", "usec": "us", "microseconds": "us", "nsec": "ns",
}

// parseDuration reads "40s", "1.5ms" or "1h30m". The error says what would be right.
func parseDuration(text string) (time.Duration, error) {
	trimmed := strings.TrimSpace(text)
	if number, unit, ok := splitQuantity(trimmed); ok {
		plain := strings.TrimSpace(strings.TrimSuffix(trimmed, unit))
		switch {
		case unit == "" && number.Sign() == 0:
			return 0, nil
		case unit == "":
			return 0, fmt.Errorf("%q has no unit: give a unit, e.g. %q", text, plain+"s")
		case unit == "d" || unit == "day" || unit == "days":
			return 0, fmt.Errorf("there is no unit %q: the longest is the hour, %q", unit, new(big.Rat).Mul(number, big.NewRat(24, 1)).FloatString(0)+"h")
		case durationMeant[unit] != "":
			return 0, fmt.Errorf("there is no unit %q: write %q", unit, plain+durationMeant[unit])
		case strings.HasSuffix(unit, "bit") || strings.HasSuffix(unit, "pps") || strings.HasSuffix(unit, "B"):
			return 0, fmt.Errorf("%q is no unit of time: the units are %s", unit, strings.Join(durationUnits, ", "))
		}
	}
	d, err := time.ParseDuration(strings.ReplaceAll(trimmed, " ", ""))
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write a number and a unit of %s, e.g. \"40s\" or \"1.5ms\"", text, strings.Join(durationUnits, ", "))
	}
	return d, nil
}

// prefixes of SI and of IEC, by powers of 1000 and 1024.
var siFactors = map[string]int64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
var iecFactors = map[string]int64{"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}

// parseBitRate reads tc's bit rates: "80mbit", "1.5gbit", "9600bit"; "/s" may follow.
func parseBitRate(text string) (bitsPerSecond uint64, err error) {
	number, unit, ok := splitQuantity(strings.TrimSpace(text))
	if !ok {
		return 0, fmt.Errorf("%q is not a rate: write a number and one of bit, kbit, mbit, gbit, e.g. \"80mbit\"", text)
	}
	plain := number.RatString()
	if unit == "" {
		return 0, fmt.Errorf("%q has no unit: give a unit, e.g. %q", text, plain+"mbit")
	}
	lower := strings.TrimSuffix(strings.ToLower(unit), "/s")
	base, isBit := strings.CutSuffix(lower, "bit")
	factor, known := siFactors[base]
	switch {
	case isBit && known:
	case strings.HasSuffix(unit, "pps"):
		return 0, fmt.Errorf("%q counts packets: a link's rate is in bits, e.g. \"80mbit\"", text)
	case strings.HasSuffix(lower, "bps"):
		return 0, fmt.Errorf("%q is ambiguous (tc reads bytes, people bits): write bit, kbit, mbit or gbit", unit)
	case strings.HasSuffix(strings.TrimSuffix(unit, "/s"), "B"):
		return 0, fmt.Errorf("%q counts bytes: a rate is in bits, e.g. \"80mbit\"", unit)
	default:
		return 0, fmt.Errorf("there is no unit %q for a rate: write bit, kbit, mbit or gbit, e.g. \"80mbit\"", unit)
	}
	return wholeNumber(new(big.Rat).Mul(number, new(big.Rat).SetInt64(factor)), text)
}

// parsePacketRate reads packets per second, "50pps" or "0.5pps".
func parsePacketRate(text string) (perSecond *big.Rat, err error) {
	number, unit, ok := splitQuantity(strings.TrimSpace(text))
	switch {
	case !ok:
		return nil, fmt.Errorf("%q is not a rate: write a number and a unit, e.g. \"50pps\" or \"2mbit\"", text)
	case unit == "":
		return nil, fmt.Errorf("%q has no unit: give a unit, e.g. %q or %q", text, number.RatString()+"pps", number.RatString()+"mbit")
	case slices.Contains([]string{"kpps", "mpps", "Mpps"}, unit):
		return new(big.Rat).Mul(number, new(big.Rat).SetInt64(siFactors[strings.ToLower(unit[:1])])), nil
	case unit != "pps":
		return nil, fmt.Errorf("there is no unit %q for a flow's rate: write pps, or kbit, mbit or gbit", unit)
	}
	return number, nil
}

// parseSize reads bytes: "200", "200B", "9kB", "64KiB".
func parseSize(text string) (bytes uint64, err error) {
	number, unit, ok := splitQuantity(strings.TrimSpace(text))
	if !ok {
		return 0, fmt.Errorf("%q is not a size: write bytes, e.g. 1400 or \"64KiB\"", text)
	}
	base, isBytes := strings.CutSuffix(unit, "B")
	lower := strings.ToLower(base)
	factor, known := siFactors[lower]
	if !known {
		factor, known = iecFactors[lower]
	}
	switch {
	case unit == "":
		factor = 1
	case strings.HasSuffix(strings.ToLower(unit), "bit"):
		return 0, fmt.Errorf("%q counts bits: a size is in bytes, e.g. \"64KiB\"", unit)
	case unit == "b" || !isBytes && siFactors[strings.ToLower(unit)] != 0:
		return 0, fmt.Errorf("there is no unit %q for a size: give a unit such as B, kB or KiB", unit)
	case !isBytes || !known:
		return 0, fmt.Errorf("there is no unit %q for a size: the units are B, kB, MB, GB, KiB, MiB and GiB", unit)
	}
	return wholeNumber(new(big.Rat).Mul(number, new(big.Rat).SetInt64(factor)), text)
}

// wholeNumber answers a quantity that must come out whole and fit.
func wholeNumber(r *big.Rat, text string) (uint64, error) {
	switch {
	case r.Sign() < 0:
		return 0, fmt.Errorf("%q is negative", text)
	case !r.IsInt():
		return 0, fmt.Errorf("%q is not a whole number of its smallest unit", text)
	case !r.Num().IsUint64():
		return 0, fmt.Errorf("%q is too large", text)
	}
	return r.Num().Uint64(), nil
}

// secondsToDuration converts a number of seconds, rounded to the nanosecond.
func secondsToDuration(seconds *big.Float) (time.Duration, error) {
	if seconds.IsInf() || seconds.MantExp(nil) > 40 {
		return 0, errors.New("the number of seconds is too large")
	}
	ns := new(big.Float).Mul(seconds, big.NewFloat(1e9))
	half := big.NewFloat(0.5)
	if ns.Sign() < 0 {
		half = big.NewFloat(-0.5)
	}
	n, _ := ns.Add(ns, half).Int64()
	if n == 1<<63-1 || n == -1<<63 {
		return 0, errors.New("the number of seconds is too large")
	}
	return time.Duration(n), nil
}

// humanizeSeconds prints seconds as a duration with at most four significant digits.
func humanizeSeconds(seconds *big.Float) string {
	d, err := secondsToDuration(seconds)
	if err != nil {
		return seconds.Text('g', 4) + "s"
	}
	for unit := time.Duration(1); ; unit *= 10 {
		if max(d, -d)/unit < 10_000 || unit >= time.Second {
			return d.Round(unit).String()
		}
	}
}

// humanizeWith prints a number with an SI prefix and a unit: "1.5 Mbit/s".
func humanizeWith(number *big.Float, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	n := new(big.Float).Set(number)
	thousand, i := big.NewFloat(1000), 0
	for i+1 < len(prefixes) && new(big.Float).Abs(n).Cmp(thousand) >= 0 {
		n.Quo(n, thousand)
		i++
	}
	text := n.Text('g', 4)
	if f, _ := n.Float64(); n.IsInt() && f < 1e4 && f > -1e4 {
		text = strconv.FormatInt(int64(f), 10)
	}
	return text + " " + prefixes[i] + unit
}
