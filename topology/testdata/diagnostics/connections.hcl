# IKE and ESP settings.
lab "connections" {}
network "wan" { prefixes = ["198.51.100.0/24", "2001:db8::/64"] }
network "lan" { prefix = "10.1.0.0/16" }
node "gw" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.lan }
  connection "algorithms" {
    proposals = [
      "aes256gcm16-prfsha384-x25520", # want: Unknown algorithm: "x25520" is not an algorithm keyword; did you mean "x25519"
      "aes256gcm16-x25519",           # want: needs a pseudorandom function
      "aes256-prfsha256-x25519",      # want: does not protect integrity
      "",                             # want: The proposal is empty
      "aes256gcm16-prfsha384",        # want: needs a key exchange method
      7,                              # want: takes a proposal such as "aes256gcm16-prfsha384-x25519"; this is a number
    ]
    remote_addrs = ["198.51.100.77"]
    child "net" {
      esp_proposals = ["aes256gcm16-sha256"] # want: protects integrity itself
    }
    child "other" {
      esp_proposals = ["prfsha256-aes128gcm16"] # want: does not belong into a proposal for ESP
    }
    child "none" {
      esp_proposals = [] # want: esp_proposals is empty
      start_action  = "begin" # want: There is no start_action "begin"; it is one of "none", "start" and "trap".
      replay_window = 100000 # want: it lies between 32 and 4096
      remote_ts     = ["10.0.0.0/8[tpc]"] # want: there is no protocol "tpc"; Did you mean "tcp"?
      local_ts      = ["10.1.0.0/16[icmp/8]"] # want: protocol "icmp" has no ports
    }
    child "families" {
      local_ts  = [network.lan]
      remote_ts = ["2001:db8:5::/64"] # want: Traffic selectors of different families
    }
    child "ts" {
      local_ts  = [node.gw] # want: node.gw is a node
      remote_ts = ["10.0.0.1/8", "10.0.0.0/8[udp/70000]", "10.0.0.0/8[udp/9-1]", "[tcp]", "10.0.0.0/8["] # want: has bits set behind its length # want: "70000" is not a port # want: "9-1" is not a port # want: "" is not a prefix # want: is not a traffic selector
    }
  }
  connection "addresses" {
    local_addrs  = ["198.51.100.99"] # want: No interface of node.gw has 198.51.100.99
    remote_addrs = ["gw.example.org", "198.51.100.0", node.pair, "%anny"] # want: "gw.example.org" is not an address # want: node.pair has 2 interfaces; name one of them, e.g. node.pair.interface.wan # want: There is no "%anny"
    local_port   = 0 # want: local_port is 0; it lies between 1 and 65535
    version      = 1 # want: version is 1; it lies between 2 and 2
    dpd_delay    = 30 # want: dpd_delay has no unit: give a unit, e.g. "30s"
    retransmit_base = 0.5 # want: retransmit_base is 0.5; it lies between 1 and 10
    local {
      auth = "pks" # want: There is no auth "pks"; it is one of "psk". Did you mean "psk"?
      id   = "" # want: an identity cannot be empty
    }
    remote { id = "@#xyz" } # want: "xyz" is not an even number of hexadecimal digits
    child "net" {}
  }
  connection "respond" {
    child "net" { start_action = "start" } # want: Nobody to start with
  }
  connection "ports" {
    remote_addrs = [node.pair.interface.wan]
    remote_port  = 4500 # want: local_port is 500 and remote_port is 4500; both are 500 or both are 4500
    dpd_delay    = "50ms" # want: dpd_delay is 50ms; it is at least 100ms, or is 0s for none
    child "net" {
      replay_window = 31 # want: replay_window is 31; it lies between 32 and 4096, or is 0 for none
    }
  }
  connection "port" {
    remote_addrs = [node.pair.interface.wan]
    local_port   = 501 # want: local_port is 501; IKE is spoken at 500, or at 4500 with ESP in UDP from the beginning
    child "net" {
      esp_proposals = ["aes256gcm16-esn"]
      replay_window = 0 # want: "aes256gcm16-esn" asks for esn, which needs a replay window
    }
  }
  connection "children" {
    remote_addrs = [node.pair.interface.wan]
    child "first" { start_action = "trap" }
    child "chosen" {}
    child "second" { start_action = "start" } # want: A second child that this end begins is not available yet
  }
  connection "list" {
    remote_addrs = node.pair.interface.wan # want: remote_addrs takes a list; write it in brackets: [node.pair.interface.wan].
    child "net" {}
  }
  connection "twice" {
    remote_addrs = ["198.51.100.77", "198.51.100.77"] # want: Duplicate address 198.51.100.77
    proposals    = null
    child "net" {}
  }
  connection "empty" { # want: Connection without a child
    remote_addrs = ["198.51.100.78"]
  }
}
node "pair" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.lan }
}
node "plain" {
  implementation = "host"
  interface "lan" { network = network.lan }
  connection "x" { # want: A host has no connections
    child "y" {}
  }
}
node "odd" {
  implementation = "ikelap" # want: Did you mean "ikelab"?
  interface "lan" { network = network.lan }
}
secret "a" { # want: Missing secret
}
secret "b" { key = "x" } # want: Here it is called "secret". # want: Missing secret
secret "c" { secret = "0xABC" } # want: an even number of hexadecimal digits
secret "d" { secret = "" } # want: secret is empty
secret "e" {
  secret = "x"
  ids    = "gw" # want: ids takes a list; write it in brackets: ["gw"].
  nodes  = ["gw"] # want: "gw" is only a string. Refer to it without quotes.
}
