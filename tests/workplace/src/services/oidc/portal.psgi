# The portal as a Plack application behind nginx: it is told that the outside is https, and its cookies are bound to
# the host alone, because browsers refuse a cookie whose domain is "localhost" or below it with a dot.
use Lemonldap::NG::Portal::Main;
use Plack::Builder;
use Plack::Util;

my $portal = Lemonldap::NG::Portal::Main->run( {} );

builder {
    enable sub {
        my $app = shift;
        sub {
            my $env = shift;
            $env->{HTTPS}             = 'on';
            $env->{'psgi.url_scheme'} = 'https';
            $env->{REMOTE_ADDR}       = $env->{HTTP_X_REAL_IP} || $env->{REMOTE_ADDR};
            $env->{SCRIPT_NAME}       = '';
            $env->{REQUEST_URI} //= $env->{PATH_INFO};
            Plack::Util::response_cb(
                $app->($env),
                sub {
                    my $headers = $_[0][1];
                    for ( my $i = 0 ; $i < @$headers ; $i += 2 ) {
                        $headers->[ $i + 1 ] =~ s/;\s*domain=[^;]*//i if lc $headers->[$i] eq 'set-cookie';
                    }
                }
            );
        }
    };
    $portal;
};
