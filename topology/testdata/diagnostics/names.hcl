# Names that nothing has, and names that two things have.
lab "names" {
  durration = "10s" # want: There is no attribute "durration": Did you mean "duration"?
  until     = "10s" # want: There is no attribute "until": Here it is called "duration".
}
lab "again" {} # want: Duplicate block lab

netwrok "x" { # want: There is no block "netwrok": In the lab: Did you mean "network"?
}

network "lan" { prefix = "10.1.0.0/16" }
network "lan" { prefix = "10.2.0.0/16" } # want: Duplicate network "lan": The name is taken by the network in line 11
link "dsl" { delay = "4ms" }
link "dsl" { delay = "5ms" } # want: Duplicate link "dsl"
variable "size" { default = 3 }
variable "size" { default = 4 } # want: Duplicate variable "size"
locals {
  a = var.size
}
locals {
  a = 2 # want: Duplicate local value "a"
}

node "a" {
  interface "eth0" {
    network = network.lan
    link    = link.dsl
    adress  = "10.1.0.9" # want: There is no attribute "adress": Did you mean "address"?
  }
  interface "eth0" { # want: Duplicate interface "eth0"
    network = network.lan
  }
  conection "b" { # want: There is no block "conection": In node "a": Did you mean "connection"?
  }
  address = "10.1.0.1" # want: There is no attribute "address"
  interfaces = [] # want: There is no attribute "interfaces"
  connection "b" {
    remote_addrs  = [node.b.interface.eth0]
    ike_proposals = ["default"] # want: There is no attribute "ike_proposals": Here it is called "proposals".
    local { id = "a" }
    local { id = "b" } # want: Duplicate block local
    child "net" {}
    child "net" {} # want: Duplicate child "net"
    child = "x" # want: child is a block
  }
  connection "b" {} # want: Duplicate connection "b"
}
node "b" {
  interface "eth0" { network = network.lan }
}
node "b" { # want: Duplicate node "b"
  interface "eth0" { network = network.lan }
}
secret "psk" { secret = "x" }
secret "psk" { secret = "y" } # want: Duplicate secret "psk"
flow "f" {
  from = node.a
  to   = node.b
  packets = local.a
}
flow "f" { # want: Duplicate flow "f"
  from = node.a
  to   = node.b
}
step "s" {
  at = "1s"
  action = link_down(node.a.interface.eth0)
}
step "s" { # want: Duplicate step "s"
  at = "2s"
  action = link_down(node.a.interface.eth0)
}
expect "e" { condition = result.flow.f.received > 0 }
expect "e" { condition = result.flow.f.lost > 0 } # want: Duplicate expect "e"

node "has space" { # want: Invalid name: "has space"
  interface "eth0" { network = network.lan }
}
node { # want: node needs a name
}
flow "one" "two" { # want: flow takes one name
}
locals "named" { # want: locals takes no name
}
invariants { # want: There is no block "invariants"
}
