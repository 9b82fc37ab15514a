//! The cases of what web servers and PHP are configured with.

use crate::case::{Case, Needs, PLAIN};

/// All of them.
pub fn all() -> Vec<Case> {
    let ini = "printf '[PHP]\\r\\nmemory_limit = 128M ; enough\\r\\n;extension=exif ; late\\r\\nmagic=1\\r\\n' > $DIR/php.ini";
    let elsewhere = "printf '[PHP]\\nprecision = 3\\n' > $DIR/php.ini";
    let php_ini = |args, before, foreign| Case {
        module: "php_ini",
        args,
        before,
        foreign,
        ..PLAIN
    };
    let conf = "mkdir -p $DIR/logs $DIR/www; printf 'ServerRoot %s\\nListen 8080\\nServerName x\\nLoadModule mpm_event_module \
                %s/mod_mpm_event.so\\nLoadModule authz_core_module %s/mod_authz_core.so\\nLoadModule alias_module \
                %s/mod_alias.so\\n' $DIR $MODULES $MODULES $MODULES > $DIR/httpd.conf";
    let conf: &'static str = conf.replace("$MODULES", "/usr/lib/apache2/modules").leak();
    let httpd_alias = |args, before| Case {
        module: "httpd_alias",
        args,
        before,
        foreign: "echo '# mine' >> $DIR/httpd.conf",
        ..PLAIN
    };
    let old: &'static str = format!(
        "{conf}; printf 'Alias /x /nowhere\\n<Directory %s/www>\\nRequire all denied\\n</Directory>\\n' $DIR >> $DIR/httpd.conf"
    )
    .leak();
    let httpd_module = |args, before| Case {
        module: "httpd_module",
        ..httpd_alias(args, before)
    };
    let httpd_directive = |args, before| Case {
        module: "httpd_directive",
        ..httpd_alias(args, before)
    };
    let debian: &'static str = "mkdir -p $DIR/logs $DIR/mods-available $DIR/mods-enabled; cd $DIR; for n in mpm_event authz_core alias dir; do \
         echo \"LoadModule ${n}_module /usr/lib/apache2/modules/mod_$n.so\" > mods-available/$n.load; done; \
         echo '<IfModule mod_dir.c>' > mods-available/dir.conf; echo '</IfModule>' >> mods-available/dir.conf; \
         for n in mpm_event authz_core alias; do ln -s ../mods-available/$n.load mods-enabled/; done; \
         printf 'ServerRoot %s\\nListen 8080\\nServerName x\\nInclude mods-enabled/*.load\\nIncludeOptional \
         mods-enabled/*.conf\\n' $DIR > httpd.conf";
    let selinux = |args, foreign| Case {
        module: "selinux_fcontext",
        needs: Needs::Policy,
        args,
        before: "mkdir -p $DIR/www/log \"$DIR/www/two words\"; echo x > $DIR/www/log/a; echo y > \"$DIR/www/two words/b\"; ln -s nowhere \
                 $DIR/www/l; semanage fcontext -S $STORE -a -t var_t \"$DIR/www(/.*)?\"; semanage fcontext -S $STORE -a -t \
                 httpd_log_t \"$DIR/www/log(/.*)?\"; setfattr -h -n security.selinux -v system_u:object_r:tmp_t:s0 $DIR/www/log",
        foreign,
        ..PLAIN
    };
    vec![
        selinux(
            "{target: $DIR/www(/.*)?, setype: httpd_sys_content_t, store: $STORE, ignore_selinux_state: true}",
            "semanage fcontext -S $STORE -m -t tmp_t \"$DIR/www(/.*)?\"",
        ),
        selinux(
            "{target: $DIR/www(/.*)?, state: absent, store: $STORE, ignore_selinux_state: true}",
            "semanage fcontext -S $STORE -m -t tmp_t \"$DIR/www(/.*)?\"",
        ),
        selinux(
            "{restore: [$DIR/www], store: $STORE, ignore_selinux_state: true}",
            "setfattr -h -n security.selinux -v system_u:object_r:etc_t:s0 $DIR/www/l",
        ),
        selinux(
            "{rules: [{target: $DIR/www/l, setype: etc_t, ftype: l}, {target: $DIR/www(/.*)?, setype: httpd_sys_content_t}], restore: \
             [$DIR/www], force: true, store: $STORE, ignore_selinux_state: true}",
            "semanage fcontext -S $STORE -m -t tmp_t \"$DIR/www(/.*)?\"; setfattr -h -n security.selinux -v system_u:object_r:etc_t:s0 $DIR/www/l",
        ),
        httpd_alias(
            "{alias: /x, path: $DIR/www, conf: $DIR/httpd.conf, options: [None], access: [granted], backup: true}",
            conf,
        ),
        httpd_alias(
            "{alias: /x, path: $DIR/www, conf: $DIR/httpd.conf, access: [granted]}",
            old,
        ),
        httpd_alias(
            "{alias: /x, path: $DIR/www, conf: $DIR/httpd.conf, state: absent}",
            old,
        ),
        httpd_directive(
            "{name: TimeOut, value: \"7\", conf: $DIR/httpd.conf, backup: true}",
            conf,
        ),
        httpd_directive(
            "{name: Listen, value: \"8080\", conf: $DIR/httpd.conf}",
            old,
        ),
        httpd_directive(
            "{name: Require, value: all denied, state: absent, section: 'Directory $DIR/www', conf: $DIR/httpd.conf}",
            old,
        ),
        httpd_module(
            "{name: dir_module, conf: $DIR/httpd.conf, backup: true}",
            conf,
        ),
        httpd_module(
            "{name: alias_module, conf: $DIR/httpd.conf, state: absent}",
            conf,
        ),
        Case {
            foreign: "ln -s /nowhere $DIR/mods-enabled/dir.load",
            ..httpd_module("{name: dir, conf: $DIR/httpd.conf}", debian)
        },
        Case {
            foreign: "ln -sf /nowhere $DIR/mods-enabled/alias.load",
            ..httpd_module(
                "{name: alias, conf: $DIR/httpd.conf, state: absent}",
                debian,
            )
        },
        php_ini(
            "{path: $DIR/php.ini, set: {memory_limit: 256M, session.save_path: 'N;/tmp', display_errors: false}, \
             unset: [magic], enable: [exif]}",
            ini,
            elsewhere,
        ),
        php_ini(
            "{path: $DIR/new/php.ini, template: $DIR/php.ini, set: {memory_limit: 134217728}, mode: \"0640\"}",
            ini,
            "mkdir $DIR/new; printf 'x=1\\n' > $DIR/new/php.ini",
        ),
        php_ini(
            "{path: $DIR/php.ini, section: PATH=/srv/www, set: {precision: 4}, backup: true}",
            ini,
            elsewhere,
        ),
        php_ini(
            "{path: $DIR/php.ini, set: {precision: 5}, disable: [sockets], zend_disable: [opcache]}",
            "mkdir $DIR/conf.d; printf 'precision=5\\n' > $DIR/conf.d/10.ini; printf 'extension=sockets.so\\nprecision=1\\n\
             zend_extension=opcache\\n' > $DIR/php.ini",
            elsewhere,
        ),
    ]
}
