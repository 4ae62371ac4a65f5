// Command ikelab runs labs: networks of IPsec hosts and gateways that one HCL file describes, in virtual time or in
// network namespaces of this host.
//
// This package is flags, wiring and printing. It opens files, catches signals, draws progress, and turns errors into
// the exit statuses that docs and scripts rely on. What a lab means is topology's affair, what a run does sim's, how
// a result looks sim/report's.
//
// What must stay true:
//
//   - Exit status 0: everything held; 1: an expectation or invariant failed; 2: the lab or the command line is wrong;
//     3: this host lacks something, named; 4: an internal or IO error; 130: interrupted.
//   - The last two lines of run on standard output are the digest and the result, whatever else is printed; with
//     --json standard output is the JSON document alone, which holds both.
//   - Progress goes to a terminal or nowhere. Diagnostics go to standard error.
//   - Nothing here influences a run: the same lab and seed give the same digest with and without --out, progress or
//     colour.
package main
