# Steps that kill nodes and change addresses.
lab "lives" { duration = "60s" }
network "lan" { prefix = "10.1.0.0/16" }
network "wan" { prefixes = ["198.51.100.0/24", "2001:db8:1::/64"] }
node "a" {
  count = 2
  interface "lan" {
    network = network.lan
    address = cidrhost(network.lan.prefix, 10 + count.index)
  }
  interface "wan" {
    network = network.wan
    mtu     = 1280
  }
  connection "b" {
    remote_addrs = [node.b.interface.wan]
    child "net" { remote_ts = ["10.9.0.0/16"] }
  }
}
node "b" {
  interface "wan" {
    network   = network.wan
    addresses = ["198.51.100.77", "2001:db8:1::77"]
  }
  interface "lan" {
    network = network.lan
    address = "10.1.0.99"
    mtu     = 600
  }
  connection "a" {
    child "net" {}
  }
}
node "plain" {
  interface "lan" { network = network.lan }
}
node "host" {
  implementation = "host"
  interface "lan" { network = network.lan }
}
network "small" { prefixes = ["10.5.0.0/24", "2001:db8:5::/64"] }
node "tiny" {
  interface "small" {
    network = network.small
    address = "10.5.0.5"
    mtu     = 600
  }
}
secret "psk" { secret = "x" }

step "host" {
  at     = "1s"
  action = kill(node.host) # want: The node has no process: node.host is "host"
}
step "plain" {
  at     = "1s"
  action = restart(node.plain) # want: The node has no process: node.plain has no connection
}
step "collection" {
  at     = "1s"
  action = kill(node.a) # want: kill takes a reference such as node.gw, not a collection
}
step "interface" {
  at     = "1s"
  action = kill(node.b.interface.wan) # want: kill takes a reference such as node.gw; node.b.interface.wan is a interface
}
step "alive" {
  at     = "1s"
  action = start(node.b) # want: Nothing kills the node: node.b lives from the beginning
}
step "kill" {
  at     = "1s"
  action = kill(node.a[0])
}
step "start" {
  on     = { event = "node-killed", node = node.a[0] }
  after  = "2s"
  action = start(node.a[0])
}
step "elsewhere" {
  at     = "1s"
  action = add_address(node.b.interface.wan, "192.0.2.1") # want: Address is not in the network: 192.0.2.1 is not in network.wan
}
step "length" {
  at     = "1s"
  action = add_address(node.b.interface.wan, "198.51.100.9/16") # want: Wrong prefix length
}
step "good" {
  at     = "1s"
  action = add_address(node.b.interface.wan, "198.51.100.9/24")
}
step "taken" {
  at     = "1s"
  action = add_address(node.b.interface.lan, node.a[1].interface.lan.address) # want: Duplicate address 10.1.0.11: node.a[1].interface.lan has it, and no step takes it away
}
step "again" {
  at     = "1s"
  action = add_address(node.b.interface.wan, "198.51.100.77") # want: The interface has the address already
}
step "never" {
  at     = "1s"
  action = remove_address(node.b.interface.wan, "198.51.100.10") # want: The interface does not have the address: node.b.interface.wan does not have 198.51.100.10 at the beginning
}
step "two" {
  at     = "1s"
  action = add_address(node.b.interface.wan, ["198.51.100.10", "198.51.100.11"]) # want: One address is needed
}
step "twice" {
  at     = "1s"
  action = set_address(node.a[0].interface.wan, ["198.51.100.12", "198.51.100.12"]) # want: Duplicate address 198.51.100.12
}
step "text" {
  at     = "1s"
  action = set_address(node.a[0].interface.wan, "somewhere") # want: "somewhere" is not an address
}
step "number" {
  at     = "1s"
  action = set_address(node.a[0].interface.wan, 5) # want: Wrong type for address
}
step "arguments" {
  at     = "1s"
  action = set_address(node.a[0].interface.wan) # want: Not enough function arguments
}
step "kept" {
  at     = "5s"
  action = add_address(node.b.interface.wan, "198.51.100.200")
}
step "kept-too" {
  at     = "6s"
  action = add_address(node.a[1].interface.wan, "198.51.100.200") # want: Another step gives it to node.b.interface.wan
}
step "moves-away" {
  at     = "5s"
  action = remove_address(node.a[0].interface.lan, node.a[0].interface.lan.address)
}
step "moves-here" {
  at     = "6s"
  action = set_address(node.plain.interface.lan, [node.a[0].interface.lan.address])
}
step "none" {
  at     = "7s"
  action = set_address(node.host.interface.lan, [])
}
step "no-room" {
  at     = "7s"
  action = add_address(node.tiny.interface.small, "2001:db8:5::9") # want: too small for IPv6
}
