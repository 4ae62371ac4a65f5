package impair

import "math/bits"

//go:generate go test -run TestTables -update

const (
	// tableKnots is the number of values in a distribution's table: its quantiles at (i+½)/tableKnots.
	tableKnots = 4096
	// tableUnitBits says that a table's unit is 2⁻¹⁶ standard deviations.
	tableUnitBits = 16
)

// offset returns how far a delay strays from its mean, decided by a uniformly distributed draw. It grows with
// the draw.
func (j Jitter) offset(draw uint64) Dur {
	switch j.Distribution {
	case Normal:
		return scale(quantile(&normalTable, draw), j.Sigma)
	case Pareto:
		return scale(quantile(&paretoTable, draw), j.Sigma)
	default:
		// A whole number of nanoseconds between -Sigma and Sigma.
		width := 2*uint64(j.Sigma) + 1
		above, _ := bits.Mul64(draw, width)
		return Dur(above) - j.Sigma
	}
}

// quantile reads a table at draw/2⁶⁴ of its width, on a straight line between two knots.
func quantile(table *[tableKnots]int32, draw uint64) int64 {
	knot, rest := bits.Mul64(draw, tableKnots-1)
	a, b := int64(table[knot]), int64(table[knot+1])
	return a + (b-a)*int64(rest>>32)>>32
}

// scale multiplies a table value by a standard deviation, rounding down. DelayMax times the largest value of
// a table fits into 63 bits; a test holds it.
func scale(value int64, sigma Dur) Dur {
	return Dur(value * int64(sigma) >> tableUnitBits)
}
