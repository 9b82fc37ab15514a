# Answers for the realm and, on its own port, for its health.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;
$SIG{TERM} = $SIG{INT} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';
my ($health, $http) = (9000, $ENV{HTTP_PORT});
my $select = IO::Select->new;
my %port;
for my $number ($http, $health) {
    my $socket = IO::Socket::INET->new(LocalPort => $number, Listen => 16, ReuseAddr => 1) or die "port $number: $!\n";
    $port{$socket} = $number;
    $select->add($socket);
}
my %pages = (
    "$health/health/ready" => '{"status":"UP","checks":[]}',
    "$http/realms/dcm4che" => '{"realm":"dcm4che"}',
    "$http/realms/dcm4che/.well-known/openid-configuration" => qq({"issuer":"https://$ENV{KC_HOSTNAME}/realms/dcm4che"}),
);
while (1) {
    for my $server ($select->can_read) {
        my $client = $server->accept or next;
        eval {
            local $SIG{ALRM} = sub { die };
            alarm 2;
            my $line = <$client> // '';
            while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
            my ($path) = $line =~ m{^\w+ (\S+)};
            my $body = $pages{$port{$server} . ($path // '')};
            my $status = defined $body ? '200 OK' : '404 Not Found';
            $body //= '{"error":"Unable to find matching target resource method"}';
            print $client "HTTP/1.1 $status\r\nContent-Type: application/json\r\nContent-Length: ", length $body,
                "\r\nConnection: close\r\n\r\n$body";
        };
        alarm 0;
        close $client;
    }
}
