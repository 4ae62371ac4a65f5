// Package rootless lets a person without root run labs in namespaces: it starts ikelab again as root of a user namespace
// of its own, with namespaces of processes, mounts and network that end with it.
//
// Inside, /run is private, because that is where named network namespaces are; everything that was in /run shows there
// as before, so that the folder in which labs keep their state is the same one inside and outside.
//
// What must stay true:
//
//   - The process that is started again is the first of its process namespace's children; when it ends, or is killed,
//     or whoever started it for a run is, the kernel ends everything that it had started.
//   - Nothing is mounted outside.
//   - A request to end arrives inside once, however many signals it was made of; a second request arrives, too.
package rootless
