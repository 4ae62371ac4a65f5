// Package topology reads a lab file and answers a validated [Plan].
//
// A lab is HCL (design.md §4, docs/language.md): blocks whose attributes are
// expressions, which refer to each other by traversal. Load goes through four
// stages, each of which reports everything it finds before the next one starts:
//
//   - schema.go names every block and attribute there is, with type, unit, range
//     and default; what a later version brings is in it too, to be refused by name;
//   - eval.go and refs.go evaluate attributes on demand, each once, in the order in
//     which they need each other, so that a cycle is found with its path;
//   - config_*.go turn instances of blocks into typed values with source ranges;
//   - addresses.go, routes.go and plan_build.go derive what the file leaves open.
//
// What must stay true:
//
//   - a Plan is free of HCL and of source ranges, but for the closures of
//     Expectation; it is either whole or nil;
//   - a reference to a block is opaque: naming a node evaluates nothing of it, so
//     two gateways may name each other;
//   - every diagnostic has a range on the offending text and says what would be
//     right; a fault is reported once, not again by everything that depends on it;
//   - the result depends on the file and the variables alone, never on map order;
//   - work is bounded: file size, instances, packets of text, depth of the values.
//
// It is not the place for anything that happens at run time: names of events and
// results are known here, their meaning is with packages ike, node and sim.
package topology
