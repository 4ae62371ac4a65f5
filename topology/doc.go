// Package topology reads a lab file and answers a validated [Plan].
//
// A lab is HCL (design.md §4, docs/language.md): blocks whose attributes are
// expressions, which refer to each other by traversal. The files, by role:
//
//   - schema.go names every block and attribute there is, with kind, unit, range
//     and default; what a later version brings is in it too, to be refused by name;
//   - expand.go compares the file with the schema, and makes instances of blocks
//     with count and for_each;
//   - eval.go evaluates attributes on demand, each once, in the order in which they
//     need each other, so that a cycle is found with its path; uses.go finds what an
//     expression names, refs.go what that is, tree.go what the expression sees of it;
//   - kinds.go, kinds_net.go and units.go turn values into typed ones with their
//     source ranges; action.go and measure.go are the words of steps and results;
//   - build.go, connection.go, flow.go and expect.go make the plan of typed values;
//     addresses.go and routes.go derive what the file leaves open.
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
