# A lab says why its protocol events differ between engines.
lab "engines-differ" {
  duration       = "1s"
  engines_differ = "both ends ask for a sign of life at the same instant, and the kernel decides whose request comes first"
}

network "n" { prefix = "192.0.2.0/24" }

node "a" {
  implementation = "host"
  interface "e" { network = network.n }
}
